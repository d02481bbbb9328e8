// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/manage"
)

// maxChanges bounds the changes of one response.
const maxChanges = 200

// HistoryView is who changed a key.
type HistoryView struct {
	Recorded bool         `json:"recorded" doc:"false: without a database, changes are in the log of the server only"`
	Items    []ChangeView `json:"items" doc:"The latest first, at most 200"`
	More     bool         `json:"more" doc:"There are earlier changes"`
	Gaps     []GapView    `json:"gaps" doc:"Times when the database was unavailable: changes may be missing"`
}

// ChangeView is one change of a key.
type ChangeView struct {
	At        time.Time  `json:"at"`
	KeyID     string     `json:"keyId" doc:"Keys of the same name follow each other"`
	Operation string     `json:"operation" enum:"create,replay,change,suspend,resume,rotate,revoke,delete,issue"`
	Outcome   string     `json:"outcome" enum:"done,unknown" doc:"unknown: the cluster did not answer"`
	Detail    string     `json:"detail,omitempty" example:"role member → admin"`
	Endpoint  string     `json:"endpoint" enum:"rest,page,kubernetes,controller"`
	Actor     *ActorView `json:"actor,omitempty" doc:"Absent: not recorded"`
	Tool      string     `json:"tool,omitempty" doc:"The field manager that Kubernetes recorded" example:"kubectl-edit"`
	RequestID string     `json:"requestId,omitempty"`
	Before    []string   `json:"before" doc:"Ids of the credentials before"`
	After     []string   `json:"after" doc:"Ids of the credentials after"`
}

// ActorView is who changed a key.
type ActorView struct {
	ID         accountID `json:"id,omitempty"`
	Username   string    `json:"username"`
	Role       string    `json:"role,omitempty"`
	Method     string    `json:"method,omitempty" enum:"apikey,jwt"`
	Key        string    `json:"key,omitempty" doc:"The key that the actor used: project/name"`
	Credential string    `json:"credential,omitempty" doc:"The id of its token"`
}

// GapView is a time of which changes may be missing.
type GapView struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// registerHistory registers the operation on the changes of a key.
func (a *API) registerHistory(api huma.API) {
	huma.Register(api, operation("GET", "/api/keys/{project}/{name}/history", "get-key-history", "Who changed a key",
		"Changes over REST and the page are recorded with their author. Of changes by kubectl and Git, the cluster has "+
			"the tool and the time of the last one. An admin sees the history of a deleted key too.",
		authn.ReadActivity, 404),
		a.getKeyHistory)
}

func (a *API) getKeyHistory(ctx context.Context, in *KeyPath) (*answer[HistoryView], error) {
	o, err := a.Manage.Get(ctx, caller(ctx), in.Project, in.Name)
	var problem *manage.Problem
	deleted := errors.As(err, &problem) && problem.Kind == manage.NotFound && caller(ctx).Role == authn.Admin
	if err != nil && !deleted {
		return nil, a.failed(ctx, err)
	}
	v, err2 := a.History(ctx, caller(ctx), in.Project, in.Name, o)
	if err2 != nil {
		return nil, a.failed(ctx, err2)
	}
	if deleted && len(v.Items) == 0 {
		return nil, a.failed(ctx, err)
	}
	return &answer[HistoryView]{v}, nil
}

// History returns who changed the key of that name: what the database has recorded, and what the object shows. The
// object is nil for a key that was deleted. Only an admin sees the changes of earlier keys of that name, which may have
// been another account's.
func (a *API) History(ctx context.Context, reader authn.Principal, project, name string, o *v1alpha1.ApiKey) (
	HistoryView, error) {
	v := HistoryView{Items: []ChangeView{}, Gaps: []GapView{}, Recorded: a.Activity != nil}
	if a.Activity != nil {
		uid := ""
		if reader.Role != authn.Admin && o != nil {
			uid = string(o.UID)
		}
		key := activity.NamedKey{Tenant: reader.Tenant, Project: project, Name: name, UID: uid}
		found, err := a.Activity.Changes(ctx, key, maxChanges)
		if err != nil {
			return v, fmt.Errorf("read history: %w", err)
		}
		v.More = found.More
		for _, c := range found.Changes {
			v.Items = append(v.Items, recordedChange(c))
		}
		for _, g := range found.Gaps {
			v.Gaps = append(v.Gaps, GapView{g.Since, g.Until})
		}
	}
	if o != nil {
		for _, t := range kube.Traces(o) {
			v.Items = append(v.Items, tracedChange(o, t))
		}
	}
	slices.SortStableFunc(v.Items, func(a, b ChangeView) int { return b.At.Compare(a.At) })
	if len(v.Items) > maxChanges {
		v.Items, v.More = v.Items[:maxChanges], true
	}
	return v, nil
}

func recordedChange(c activity.Change) ChangeView {
	return ChangeView{
		At: c.At, KeyID: uuid.UUID(c.Key.UID).String(), Operation: c.Operation, Outcome: c.Outcome, Detail: c.Detail,
		Endpoint: c.Endpoint, RequestID: c.RequestID, Before: c.Before, After: c.After,
		Actor: &ActorView{ID: accountID(c.Actor.ID), Username: c.Actor.Username, Role: c.Actor.Role,
			Method: c.Actor.Method, Key: c.Actor.Key, Credential: c.Actor.Credential},
	}
}

func tracedChange(o *v1alpha1.ApiKey, t kube.Trace) ChangeView {
	v := ChangeView{At: t.At.UTC(), KeyID: string(o.UID), Operation: t.Operation, Outcome: activity.Done,
		Endpoint: "kubernetes", Tool: t.Tool, Before: []string{}, After: []string{}}
	if t.Author != "" {
		v.Actor = &ActorView{Username: t.Author}
	}
	if t.Operation == "issue" {
		v.Endpoint, v.Actor = "controller", &ActorView{Username: "controller"}
	}
	return v
}
