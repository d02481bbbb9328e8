// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/manage"
)

// keyAnswer is a response with a key and its version.
type keyAnswer struct {
	ETag string `header:"ETag"`
	Body KeyView
}

// madeAnswer is a response with a key and its new token.
type madeAnswer struct {
	ETag string `header:"ETag"`
	Body madeView
}

type page struct {
	Items []KeyView `json:"items"`
	Next  string    `json:"next,omitempty" doc:"Cursor of the next page, absent on the last. A page may be short or empty"`
}

// repeats describes the header Idempotency-Key.
const repeats = "A repeat with the same Idempotency-Key within a day is not done twice. " +
	"It returns a new token instead of the one whose response was lost."

// registerKeys registers the operations on keys.
func (a *API) registerKeys(api huma.API) {
	a.registerReads(api)
	create := operation(
		"POST",
		"/api/keys",
		"create-key",
		"Create a key",
		"The key cannot do more than you may. With delivery once, the token is in this response and nowhere else: keep it. "+
			"With delivery secret, the controller delivers it to a Secret of the project and rotates it there. "+
			"With actsFor me, the key is your account's. With itself, it is an account of its own, for a service; "+
			"that takes role admin. "+repeats,
		authn.WriteKeys,
		400,
		409,
		413,
		415,
		422,
	)
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, a.createKey)
	huma.Register(api, operation("POST", "/api/keys/{project}/{name}/rotate", "rotate-key", "Give a key a new token",
		"The previous token works for the overlap, so that no request is refused meanwhile; with 0s it stops at once. "+
			"The overlap has no effect if the token is delivered to a Secret. "+repeats,
		authn.WriteKeys, 400, 404, 409, 413, 415, 422), a.rotateKey)
	huma.Register(api, operation("POST", "/api/keys/{project}/{name}/revoke", "revoke-key", "Revoke a key for good",
		"It is refused within a second. There is no way back; to refuse it for a while, set its state to Suspended.",
		authn.WriteKeys, 400, 404, 413, 415, 422), a.revokeKey)
	huma.Register(api, operation("PATCH", "/api/keys/{project}/{name}", "change-key", "Change a key",
		"A merge patch (RFC 7396): what is not sent does not change, null removes. "+
			"Afterwards the key cannot do more than you may.",
		authn.WriteKeys, 400, 404, 409, 412, 413, 415, 422), a.changeKey)
	remove := operation("DELETE", "/api/keys/{project}/{name}", "delete-key", "Delete a key",
		"It is refused at once, and its Secret is deleted. To keep the record of what it was, revoke it.",
		authn.WriteKeys, 404, 412)
	remove.DefaultStatus = http.StatusNoContent
	huma.Register(api, remove, a.deleteKey)
}

// registerReads registers the operations that read keys.
func (a *API) registerReads(api huma.API) {
	huma.Register(api, operation("GET", "/api/keys", "list-keys", "My keys",
		"An admin's are all of the tenant. By project and name.", authn.ReadKeys, 400, 422), a.listKeys)
	huma.Register(api, operation("GET", "/api/admin/keys", "list-tenant-keys", "All keys of the tenant",
		"By project and name. With order=attention: keys with unusual activity first, then those unused for longest; "+
			"200 keys, of the first 5,000 by name, on one page.", authn.AdminKeys, 400, 422), a.listTenantKeys)
	huma.Register(api, operation("GET", "/api/keys/self", "get-self", "The key that this request is made with",
		"", authn.ReadSelf, 404), a.getSelf)
	huma.Register(api, operation("GET", "/api/keys/{project}/{name}", "get-key", "One key",
		"", authn.ReadKeys, 404), a.getKey)
}

func (a *API) listKeys(ctx context.Context, in *ListInput) (*answer[page], error) {
	return a.list(ctx, in.query())
}

func (a *API) listTenantKeys(ctx context.Context, in *adminListInput) (*answer[page], error) {
	q := in.query()
	q.Owner = in.Owner
	if in.Order != "attention" {
		return a.list(ctx, q)
	}
	found, err := a.Attention(ctx, caller(ctx), q)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[page]{page{Items: found}}, nil
}

func (a *API) list(ctx context.Context, q manage.Query) (*answer[page], error) {
	found, err := a.Manage.Find(ctx, caller(ctx), q)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[page]{page{Items: a.Views(ctx, caller(ctx).Tenant, found.Keys), Next: found.Next}}, nil
}

const (
	considered = 5000 // keys that Attention sorts
	attended   = 200  // keys that Attention returns
	maxPages   = 5    // of a tenant with many projects, that Attention reads
)

// Attention returns the keys that a reader may see and that a person should look at first: those with anomalies, then
// those that have not been used for longest.
func (a *API) Attention(ctx context.Context, reader authn.Principal, q manage.Query) ([]KeyView, error) {
	q.Limit, q.Cursor = considered, ""
	var keys []v1alpha1.ApiKey
	for range maxPages {
		found, err := a.Manage.Find(ctx, reader, q)
		if err != nil {
			return nil, err
		}
		keys, q.Cursor = append(keys, found.Keys...), found.Next
		if q.Limit = considered - len(keys); q.Limit <= 0 || q.Cursor == "" {
			break
		}
	}
	out := a.Views(ctx, reader.Tenant, keys)
	slices.SortStableFunc(out, func(a, b KeyView) int {
		unusual := cmp.Compare(len(b.Unusual), len(a.Unusual))
		return cmp.Or(unusual, timeOf(a.Used()).Compare(timeOf(b.Used())))
	})
	return out[:min(attended, len(out))], nil
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func (a *API) getSelf(ctx context.Context, _ *struct{}) (*keyAnswer, error) {
	o, err := a.Manage.Self(ctx, caller(ctx))
	return a.key(ctx, o, err)
}

func (a *API) getKey(ctx context.Context, in *KeyPath) (*keyAnswer, error) {
	o, err := a.Manage.Get(ctx, caller(ctx), in.Project, in.Name)
	return a.key(ctx, o, err)
}

func (a *API) createKey(ctx context.Context, in *createInput) (*madeAnswer, error) {
	request, err := in.Body.request(in.IdempotencyKey)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	issued, err := a.Manage.Create(ctx, caller(ctx), request)
	return a.issued(ctx, issued, err)
}

func (a *API) rotateKey(ctx context.Context, in *rotateInput) (*madeAnswer, error) {
	overlap, err := in.overlap()
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	once := manage.Idempotency{Name: in.IdempotencyKey}
	issued, err := a.Manage.Rotate(ctx, caller(ctx), in.Project, in.Name, overlap, once)
	return a.issued(ctx, issued, err)
}

func (a *API) revokeKey(ctx context.Context, in *revokeInput) (*keyAnswer, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	o, err := a.Manage.Revoke(ctx, caller(ctx), in.Project, in.Name, reason)
	return a.key(ctx, o, err)
}

func (a *API) changeKey(ctx context.Context, in *changeInput) (*keyAnswer, error) {
	b := in.Body
	if b.suspends() && in.version() == "" {
		o, err := a.Manage.Suspend(ctx, caller(ctx), in.Project, in.Name, b.StateReason.Value)
		return a.key(ctx, o, err)
	}
	rotation, err := b.rotation()
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	change := func(spec *v1alpha1.ApiKeySpec) { b.apply(spec, rotation) }
	o, err := a.Manage.Change(ctx, caller(ctx), in.Project, in.Name, in.version(), change)
	return a.key(ctx, o, err)
}

func (a *API) deleteKey(ctx context.Context, in *Versioned) (*struct{}, error) {
	if err := a.Manage.Delete(ctx, caller(ctx), in.Project, in.Name, in.version()); err != nil {
		return nil, a.failed(ctx, err)
	}
	return nil, nil //nolint:nilnil // no content
}

// key returns the response with a key, or with an error.
func (a *API) key(ctx context.Context, o *v1alpha1.ApiKey, err error) (*keyAnswer, error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	views := a.Views(ctx, caller(ctx).Tenant, []v1alpha1.ApiKey{*o})
	return &keyAnswer{ETag: etag(o), Body: views[0]}, nil
}

// issued returns the response with a key and its new token, or with an error.
func (a *API) issued(ctx context.Context, m manage.Issued, err error) (*madeAnswer, error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	v := madeView{KeyView: a.View(m.Key), PreviousValidUntil: instant(m.PreviousUntil)}
	if m.Shown {
		v.Token = m.Token.Reveal()
	}
	return &madeAnswer{ETag: etag(m.Key), Body: v}, nil
}

func etag(o *v1alpha1.ApiKey) string { return fmt.Sprintf("%q", manage.Version(o)) }
