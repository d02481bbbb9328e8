// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/manage"
)

const (
	apiVersion      = "1.0.0"
	requestIDHeader = "X-Request-Id"
	ruleOf          = "rule" // in an operation's metadata
)

// Failure is the body of every answer that is not a success. Clients depend on the first two
// fields.
type Failure struct {
	Error   string `json:"error" doc:"The HTTP status in words" example:"Unauthorized"`
	Message string `json:"message" doc:"What is wrong, and what to do" example:"Invalid or missing authentication token"`
	Code    string `json:"code" doc:"For programs; does not change" example:"invalid_token"`
}

// apiFailure is a failure with what a client of the REST API needs to find it.
type apiFailure struct { //nolint:errname // its name is that of its schema
	Failure
	RequestID string         `json:"requestId,omitempty" doc:"Names this request in the server's log"`
	Details   []fieldFailure `json:"details,omitempty" doc:"The fields that cannot be as they are"`
	status    int
}

type fieldFailure struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error implements error.
func (f *apiFailure) Error() string { return f.Message }

// GetStatus implements huma.StatusError.
func (f *apiFailure) GetStatus() int { return f.status }

// codes are what programs are told about a status.
var errorCodes = map[int]string{400: "bad_request", 404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 408: "timeout", 409: "conflict", 412: "precondition_failed",
	413: "too_large", 415: "unsupported_media_type", 422: "invalid", 429: "rate_limited", 500: "internal", 503: "unavailable"}

func newFailure(status int, message string) *apiFailure {
	return &apiFailure{Failure: Failure{Error: http.StatusText(status), Message: message, Code: errorCodes[status]}, status: status}
}

// init gives huma, which has one error model for a program, ours.
func init() { //nolint:gochecknoinits // the library's way
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		f := huma.NewError(status, message, errs...)
		if f, ok := f.(*apiFailure); ok && ctx != nil {
			_, w := humago.Unwrap(ctx)
			f.RequestID = w.Header().Get(requestIDHeader)
		}
		return f
	}
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		for _, err := range errs {
			var ours *apiFailure
			if errors.As(err, &ours) {
				return ours
			}
		}
		if status >= http.StatusInternalServerError { // whatever it was, it is not for strangers
			return newFailure(status, "Something went wrong; try again, and tell us the request id if it stays")
		}
		f := newFailure(status, sentence(message))
		for _, err := range errs {
			var detail *huma.ErrorDetail
			if errors.As(err, &detail) { // without the value, which may be a token
				f.Details = append(f.Details, fieldFailure{strings.TrimPrefix(strings.TrimPrefix(detail.Location, "body"), "."), detail.Message})
			}
		}
		return f
	}
}

// sentence makes one of what the library says.
func sentence(s string) string {
	switch s {
	case "":
		return "The request cannot be read"
	case "validation failed":
		return "Some fields cannot be as they are"
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// failed puts what went wrong into an answer.
func (s *Server) failed(ctx context.Context, err error) error {
	var p *manage.Problem
	if !errors.As(err, &p) {
		if ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "request failed", "request", requestID(ctx), "error", err)
		}
		return withID(ctx, newFailure(http.StatusServiceUnavailable, "The cluster cannot be asked now; try again"))
	}
	status := map[manage.Kind]int{manage.Forbidden: http.StatusForbidden, manage.NotFound: http.StatusNotFound, manage.Conflict: http.StatusConflict,
		manage.Stale: http.StatusPreconditionFailed, manage.Invalid: http.StatusUnprocessableEntity, manage.Expired: http.StatusBadRequest}[p.Kind]
	f := newFailure(status, p.Message)
	switch {
	case p.Kind == manage.Forbidden:
		f.Message, f.Code = denial.InsufficientScope.Message(), string(denial.InsufficientScope)
		if p.Message != "" {
			f.Details = append(f.Details, fieldFailure{"", p.Message})
		}
	case f.Message == "":
		f.Message = "Some fields cannot be as they are"
	}
	for _, d := range p.Fields {
		f.Details = append(f.Details, fieldFailure{d.Path, d.Message})
	}
	return withID(ctx, f)
}

func withID(ctx context.Context, f *apiFailure) *apiFailure {
	f.RequestID = requestID(ctx)
	return f
}

type contextKey int

const (
	principalKey contextKey = iota
	requestKey
)

// caller returns who the request is of.
func caller(ctx context.Context) authn.Principal {
	p, _ := ctx.Value(principalKey).(authn.Principal)
	return p
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey).(string)
	return id
}

// identified gives every request a name, which the answer and the log carry.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails
		id := hex.EncodeToString(random[:])
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey, id)))
	})
}

// plainJSON writes JSON without a line break at its end.
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

// newAPI returns the REST API on a mux, with everything that it describes of itself.
func (s *Server) newAPI(mux *http.ServeMux) huma.API {
	config := huma.DefaultConfig("kaana API keys", apiVersion)
	config.CreateHooks = nil // no $schema in answers
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.Formats = map[string]huma.Format{"application/json": plainJSON, "json": plainJSON}
	config.RejectUnknownQueryParameters = true
	config.Info.Description = "Create, find, change, rotate and revoke API keys, and see what they are used for. " +
		"Authenticate with an API key or a JWT: Authorization: Bearer …. What you may do here is what you may do on the page Settings > API Keys."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer", Description: "An API key, or a JWT of a configured issuer"}}
	config.Security = []map[string][]string{{"bearer": {}}}
	api := humago.New(mux, config)
	api.UseMiddleware(s.authenticated)
	s.mountUser(api)
	if s.Manage != nil {
		s.mountKeys(api)
	}
	if s.Manage != nil && s.Activity != nil {
		s.mountActivity(api)
	}
	s.describe(mux, api)
	return api
}

// authenticated lets a request through when its credential is good and satisfies the operation's rule.
func (s *Server) authenticated(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	rule, ok := ctx.Operation().Metadata[ruleOf].(authn.Rule)
	if !ok { // a programming error: what has no rule is nobody's
		rule = authn.Rule{Role: authn.Admin + 1}
	}
	p, ok := s.admitted(w, r, rule)
	if !ok {
		return
	}
	h := w.Header()
	h["Cache-Control"], h["X-Content-Type-Options"] = noStore, noSniff
	next(huma.WithContext(ctx, context.WithValue(ctx.Context(), principalKey, p)))
}

// operation is what is said of one endpoint.
func operation(method, path, id, summary, description string, rule authn.Rule, errs ...int) huma.Operation {
	errs = append(errs, 401, 403, 422, 429, 503)
	slices.Sort(errs)
	errs = slices.Compact(errs)
	if rule.Scope != "" {
		description += " A key that is limited in scope needs " + rule.Scope + "."
	}
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/"), "/")
	return huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary, Description: strings.TrimSpace("Role " + rule.Role.String() + " or more. " + description), Errors: errs,
		Tags: []string{tag}, Metadata: map[string]any{ruleOf: rule}, MaxBodyBytes: maxAPIBody}
}

const maxAPIBody = 64 << 10

// user is the answer of GET /api/user.
type user struct {
	ID       accountID `json:"id"`
	Username string    `json:"username" example:"you@example.com"`
	Role     string    `json:"role" enum:"viewer,member,admin"`
}

// projects is the answer of GET /api/projects.
type projects struct {
	Items []authn.Project `json:"items"`
}

// Schema describes an accountID.
func (accountID) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Description: "A number where every JSON reader keeps it exactly, else a string", OneOf: []*huma.Schema{{Type: huma.TypeInteger, Format: "int64"}, {Type: huma.TypeString}}}
}

// answer is a body and nothing else.
type answer[T any] struct{ Body T }

func (s *Server) mountUser(api huma.API) {
	huma.Register(api, operation("GET", "/api/user", "get-user", "Who am I?", "", authn.ReadUser), func(ctx context.Context, _ *struct{}) (*answer[user], error) {
		p := caller(ctx)
		return &answer[user]{user{ID: accountID(p.ID()), Username: p.Username(), Role: p.Role.String()}}, nil
	})
	huma.Register(api, operation("GET", "/api/projects", "list-projects", "The projects of my tenant", "A project is a Namespace.", authn.ReadProjects), func(ctx context.Context, _ *struct{}) (*answer[projects], error) {
		p := caller(ctx)
		return &answer[projects]{projects{Items: s.Verifier.Keys.Projects(p.Tenant)}}, nil
	})
	type input struct {
		Project string `path:"project" maxLength:"63"`
	}
	huma.Register(api, operation("GET", "/api/projects/{project}", "get-project", "One project of my tenant", "Another tenant's is forbidden, whether it exists or not.", authn.ReadProjects), func(ctx context.Context, in *input) (*answer[authn.Project], error) {
		p := caller(ctx)
		for _, project := range s.Verifier.Keys.Projects(p.Tenant) {
			if project.Name == in.Project {
				return &answer[authn.Project]{project}, nil
			}
		}
		return nil, s.failed(ctx, &manage.Problem{Kind: manage.Forbidden})
	})
}

// field is a field of a merge patch (RFC 7396): not sent, null, or a value.
type field[T any] struct {
	Sent, Null bool
	Value      T
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *field[T]) UnmarshalJSON(b []byte) error {
	f.Sent = true
	if string(b) == "null" {
		f.Null = true
		return nil
	}
	return json.Unmarshal(b, &f.Value)
}

// Schema describes the value, or null.
func (field[T]) Schema(r huma.Registry) *huma.Schema {
	schema := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	schema.Nullable = true
	return &schema
}
