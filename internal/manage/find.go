// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	chunk   = 250  // ApiKeys asked for at once
	maxScan = 5000 // ApiKeys looked at for one page; a page may be shorter for it, and say where to go on

	maxLists = 100 // LISTs for one page: a tenant may have many projects
)

// Query selects keys among those that the reader may see.
type Query struct {
	Project string     // empty: all of the tenant
	Text    string     // in the name, description, owner or hint; letter case does not matter
	State   kube.State // empty: any
	Owner   string     // id or username; empty: any
	Limit   int        // at least 1
	Cursor  string     // from the page before; empty: the first page
}

// Page is some of the keys, by project and name. Next is empty on the last one.
type Page struct {
	Keys []v1alpha1.ApiKey
	Next string
}

// cursor says where a page begins. It holds no secret and grants nothing: each page is authorized anew.
type cursor struct {
	Project  string `json:"p"`
	Continue string `json:"c,omitempty"`
	Skip     int    `json:"s,omitempty"`
}

// Find returns a page of the keys that the reader may see.
func (s *Service) Find(ctx context.Context, reader authn.Principal, q Query) (Page, error) {
	c, err := s.tenantCaller(reader).limitedTo(q.Project)
	if err != nil {
		return Page{}, err
	}
	projects := c.Projects
	at, err := readCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	page, done := Page{Keys: []v1alpha1.ApiKey{}}, scan{}
	for i, _ := slices.BinarySearch(projects, at.Project); i < len(projects); {
		if at.Project != projects[i] {
			at = cursor{Project: projects[i]}
		}
		list, err := s.chunk(ctx, reader, at)
		if err != nil {
			return page.until(at, done, err)
		}
		if page.Keys, at.Skip = s.collect(c, q, page.Keys, list.Items, at.Skip); at.Skip < len(list.Items) {
			page.Next = at.String()
			return page, nil
		}
		if at = (cursor{Project: projects[i], Continue: list.Continue}); list.Continue == "" {
			i++
		}
		if done.add(list); done.enough() && i < len(projects) {
			if at.Continue == "" {
				at.Project = projects[i]
			}
			page.Next = at.String()
			return page, nil
		}
	}
	return page, nil
}

// scan is how much was read for a page.
type scan struct{ keys, lists int }

func (s *scan) add(list *v1alpha1.ApiKeyList) { s.keys, s.lists = s.keys+len(list.Items), s.lists+1 }
func (s *scan) enough() bool                  { return s.keys >= maxScan || s.lists >= maxLists }

// until returns the page as it is if the caller may not list more now, with where to go on; and else the error.
func (p Page) until(at cursor, done scan, err error) (Page, error) {
	if done.lists == 0 || !errors.Is(err, errBusy) {
		return Page{}, err
	}
	p.Next = at.String()
	return p, nil
}

// limitedTo returns the caller in one project only; empty: in all.
func (c Caller) limitedTo(project string) (Caller, error) {
	switch {
	case project == "":
		return c, nil
	case !c.has(project):
		return c, &Problem{Kind: Forbidden}
	}
	c.Projects = []string{project}
	return c, nil
}

// collect adds the keys that match until there are enough, and returns how many it has examined.
func (s *Service) collect(c Caller, q Query, found, items []v1alpha1.ApiKey,
	from int) ([]v1alpha1.ApiKey, int) {
	for n := from; n < len(items); n++ {
		if o := &items[n]; Authorize(c, Read, o, nil) == nil && s.matches(q, o) {
			if len(found) == q.Limit {
				return found, n
			}
			found = append(found, *o)
		}
	}
	return found, max(from, len(items))
}

// chunk lists some ApiKeys of a project. A position that the API server has forgotten is found again, though
// changes in between may be missed.
func (s *Service) chunk(ctx context.Context, reader authn.Principal, at cursor) (*v1alpha1.ApiKeyList, error) {
	for {
		if !s.lists.allow(reader, s.Now(), listsPerSecond, listsBurst) {
			return nil, errBusy
		}
		var list v1alpha1.ApiKeyList
		err := s.Client.List(ctx, &list, client.InNamespace(at.Project), client.Limit(chunk),
			client.Continue(at.Continue))
		var status apierrors.APIStatus
		switch {
		case err == nil:
			return &list, nil
		case at.Continue == "" || !errors.As(err, &status):
			return nil, translate("list", err)
		case apierrors.IsResourceExpired(err) && status.Status().Continue != "" &&
			status.Status().Continue != at.Continue:
			at.Continue = status.Status().Continue
		case apierrors.IsResourceExpired(err), apierrors.IsBadRequest(err):
			return nil, &Problem{Kind: Expired, Message: "The cursor is too old, or not one of ours: begin again without it"}
		default:
			return nil, translate("list", err)
		}
	}
}

func (c cursor) String() string {
	text, _ := json.Marshal(c) // two strings and a number
	return base64.RawURLEncoding.EncodeToString(text)
}

func readCursor(text string) (cursor, error) {
	var c cursor
	if text == "" {
		return c, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &c) != nil || c.Skip < 0 {
		return cursor{}, &Problem{Kind: Expired, Message: "The cursor is not one of ours: begin again without it"}
	}
	return c, nil
}

// StateOf returns the state of a key now.
func (s *Service) StateOf(o *v1alpha1.ApiKey) kube.State { return kube.StateOf(o, s.Now()) }

func (s *Service) matches(q Query, o *v1alpha1.ApiKey) bool {
	if q.State != "" && s.StateOf(o) != q.State {
		return false
	}
	var id, username string
	if o.Spec.Owner != nil {
		id, username = o.Spec.Owner.ID, o.Spec.Owner.Username
	}
	if q.Owner != "" && q.Owner != id && q.Owner != username {
		return false
	}
	text := strings.ToLower(q.Text)
	if text == "" {
		return true
	}
	seen := []string{o.Name, o.Spec.Description, username}
	for _, c := range kube.Credentials(o) {
		seen = append(seen, c.Hint)
	}
	return slices.ContainsFunc(seen, func(s string) bool {
		return strings.Contains(strings.ToLower(s), text)
	})
}
