// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/door"
	"github.com/kaana/apikey-operator/internal/manage"
)

// apiFailure is the body of an error response of the REST API: a door.Failure, the request ID and the invalid fields.
type apiFailure struct { //nolint:errname // named like its schema in the OpenAPI document
	door.Failure
	RequestID string         `json:"requestId,omitempty" doc:"Names this request in the server's log"`
	Details   []fieldFailure `json:"details,omitempty" doc:"The fields that cannot be as they are"`
	status    int
}

// fieldFailure is an invalid field of a request.
type fieldFailure struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error implements error.
func (f *apiFailure) Error() string { return f.Message }

// GetStatus implements huma.StatusError.
func (f *apiFailure) GetStatus() int { return f.status }

// errorCodes are the values of "code" for the statuses that have one code.
var errorCodes = map[int]string{
	400: "bad_request", 404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 408: "timeout",
	409: "conflict", 412: "precondition_failed", 413: "too_large", 415: "unsupported_media_type", 422: "invalid",
	429: "rate_limited", 500: "internal", 503: "unavailable",
}

func newFailure(status int, message string) *apiFailure {
	body := door.Failure{Error: http.StatusText(status), Message: message, Code: errorCodes[status]}
	return &apiFailure{Failure: body, status: status}
}

const someFields = "Some fields cannot be as they are"

// init replaces huma's error model, which is global.
func init() { //nolint:gochecknoinits // huma offers no other way
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		f := huma.NewError(status, message, errs...)
		if f, ok := f.(*apiFailure); ok && ctx != nil {
			_, w := humago.Unwrap(ctx)
			f.RequestID = w.Header().Get(door.RequestIDHeader)
			if f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
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
		if status >= http.StatusInternalServerError { // the cause must not reach the client
			return newFailure(status, "Something went wrong; try again, and tell us the request id if it stays")
		}
		f := newFailure(status, sentence(message))
		for _, err := range errs {
			var detail *huma.ErrorDetail
			if errors.As(err, &detail) { // without the value, which may be a token
				field := strings.TrimPrefix(strings.TrimPrefix(detail.Location, "body"), ".")
				f.Details = append(f.Details, fieldFailure{field, detail.Message})
			}
		}
		return f
	}
}

// sentence converts one of huma's messages to a sentence.
func sentence(s string) string {
	switch s {
	case "":
		return "The request cannot be read"
	case "validation failed":
		return someFields
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// statuses are the statuses of the kinds of a manage.Problem.
var statuses = map[manage.Kind]int{
	manage.Forbidden: http.StatusForbidden, manage.NotFound: http.StatusNotFound, manage.Conflict: http.StatusConflict,
	manage.Stale: http.StatusPreconditionFailed, manage.Invalid: http.StatusUnprocessableEntity,
	manage.Expired: http.StatusBadRequest, manage.Busy: http.StatusTooManyRequests,
}

// failed converts an error of manage.Service to an error response.
func (a *API) failed(ctx context.Context, err error) error { return a.failure(ctx, err) }

// Explain returns the status of an error of manage.Service, and its title and text for people.
func (a *API) Explain(ctx context.Context, err error) (status int, title, text string) {
	f := a.failure(ctx, err)
	text = f.Message
	for _, d := range f.Details {
		text += ". " + strings.TrimPrefix(d.Field+": "+d.Message, ": ")
	}
	return f.status, f.Failure.Error, strings.TrimSuffix(text, ".") + "."
}

// failure converts an error of manage.Service. Any error but a manage.Problem means that the cluster did not answer; it
// is logged.
func (a *API) failure(ctx context.Context, err error) *apiFailure {
	var p *manage.Problem
	if !errors.As(err, &p) {
		if ctx.Err() == nil {
			a.Log.ErrorContext(ctx, "request failed", "request", door.RequestID(ctx), "error", err)
		}
		f := newFailure(http.StatusServiceUnavailable, "The cluster cannot be asked now; try again")
		f.RequestID = door.RequestID(ctx)
		return f
	}
	f := newFailure(statuses[p.Kind], p.Message)
	f.RequestID = door.RequestID(ctx)
	switch {
	case p.Kind == manage.Forbidden:
		f.Message, f.Code = denial.InsufficientScope.Message(), string(denial.InsufficientScope)
		if p.Message != "" {
			f.Details = append(f.Details, fieldFailure{"", p.Message})
		}
	case f.Message == "":
		f.Message = someFields
	}
	for _, d := range p.Fields {
		f.Details = append(f.Details, fieldFailure{d.Path, d.Message})
	}
	return f
}

// invalid returns the error of one invalid field.
func invalid(field, message string) error {
	return &manage.Problem{Kind: manage.Invalid, Fields: []manage.Field{{Path: field, Message: message}}}
}
