// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/door"
	"github.com/kaana/apikey-operator/internal/manage"
)

const (
	apiVersion = "1.0.0"
	maxAPIBody = 64 << 10
	ruleKey    = "rule" // in an operation's metadata
)

// API is the REST API.
type API struct {
	Auth     *door.Guard
	Manage   *manage.Service // nil: the API has no operations on keys
	Activity *activity.Store // nil: key usage is not recorded
	Projects func(tenant string) []authn.Project
	Log      *slog.Logger
	Now      func() time.Time
}

// Mount adds the API and its documentation to a mux.
func (a *API) Mount(mux *http.ServeMux) {
	describe(mux, a.register(mux))
}

// register registers all operations.
func (a *API) register(mux *http.ServeMux) huma.API {
	config := huma.DefaultConfig("kaana API keys", apiVersion)
	config.CreateHooks = nil // no $schema in responses
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.Formats = map[string]huma.Format{"application/json": plainJSON, "json": plainJSON}
	config.RejectUnknownQueryParameters = true
	config.Info.Description = "Create, find, change, rotate and revoke API keys, and see what they are used for. " +
		"Authenticate with an API key or a JWT: Authorization: Bearer …. " +
		"What you may do here is what you may do on the page Settings > API Keys."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An API key, or a JWT of a configured issuer"},
	}
	config.Security = []map[string][]string{{"bearer": {}}}
	api := humago.New(mux, config)
	api.UseMiddleware(a.authenticated)
	a.registerUser(api)
	if a.Manage != nil {
		a.registerKeys(api)
		a.registerHistory(api)
	}
	if a.Manage != nil && a.Activity != nil {
		a.registerActivity(api)
	}
	return api
}

// plainJSON writes JSON without a trailing line break.
var plainJSON = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		b, err := json.Marshal(v)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	},
	Unmarshal: json.Unmarshal,
}

type contextKey struct{}

// caller returns the principal of the request.
func caller(ctx context.Context) authn.Principal {
	p, _ := ctx.Value(contextKey{}).(authn.Principal)
	return p
}

// authenticated lets a request through if its credential is valid and satisfies the operation's rule.
func (a *API) authenticated(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	rule, ok := ctx.Operation().Metadata[ruleKey].(authn.Rule)
	if !ok { // a programming error: an operation without a rule is denied to everyone
		rule = authn.Rule{Role: authn.Admin + 1}
	}
	p, ok := a.Auth.Authenticated(w, r, rule)
	if !ok {
		return
	}
	door.Uncached(w.Header())
	inside := manage.From(ctx.Context(), manage.Origin{Endpoint: "rest", RequestID: door.RequestID(ctx.Context())})
	next(huma.WithContext(ctx, context.WithValue(inside, contextKey{}, p)))
}

// operation returns the description of one operation. The errs are the statuses of its errors, in addition to those
// that every operation has.
func operation(method, path, id, summary, description string, rule authn.Rule, errs ...int) huma.Operation {
	errs = append(errs, 401, 403, 422, 429, 503)
	slices.Sort(errs)
	if rule.Scope != "" {
		description += " A key that is limited in scope needs " + rule.Scope + "."
	}
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/"), "/")
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary,
		Description: strings.TrimSpace("Role " + rule.Role.String() + " or more. " + description),
		Errors:      slices.Compact(errs), Tags: []string{tag},
		Metadata: map[string]any{ruleKey: rule}, MaxBodyBytes: maxAPIBody,
	}
}

// answer is a response with a body and nothing else.
type answer[T any] struct{ Body T }
