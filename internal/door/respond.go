// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/json"
	"net/http"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// Failure is the body of every error response. Clients depend on the first two fields.
type Failure struct {
	Error   string `json:"error" doc:"The HTTP status in words" example:"Unauthorized"`
	Message string `json:"message" doc:"What is wrong, and what to do" example:"Invalid or missing authentication token"`
	Code    string `json:"code" doc:"For programs; does not change" example:"invalid_token"`
}

// Refusal is the response to a request that is not let through. Refusals are encoded once, at startup, because
// unauthenticated clients can cause any number of them.
type Refusal struct {
	Status    int
	Message   string
	Body      []byte   // JSON
	Challenge []string // values of WWW-Authenticate: none, or one
	Retry     []string // values of Retry-After: none, or a number of seconds
}

// NewRefusal returns a Refusal with a body. An empty challenge means no WWW-Authenticate header.
func NewRefusal(status int, body Failure, challenge string) *Refusal {
	text, _ := json.Marshal(body) // three strings
	r := &Refusal{Status: status, Message: body.Message, Body: text}
	if challenge != "" {
		r.Challenge = []string{challenge}
	}
	return r
}

// Write writes the response.
func (r *Refusal) Write(w http.ResponseWriter) {
	if r.Challenge != nil {
		w.Header()["Www-Authenticate"] = r.Challenge
	}
	if r.Retry != nil {
		w.Header()["Retry-After"] = r.Retry
	}
	writeBody(w, r.Status, r.Body)
}

// undecided is the response while the server cannot decide.
var undecided = NewRefusal(http.StatusServiceUnavailable,
	Failure{"Service Unavailable", "The server cannot tell yet; try again", "unavailable"}, "").retryable()

// retryable makes a refusal tell the client to repeat the request in a second.
func (r *Refusal) retryable() *Refusal {
	r.Retry = []string{"1"}
	return r
}

// refusals are the responses to all denials.
var refusals = func() map[denial.Code]*Refusal {
	out := map[denial.Code]*Refusal{}
	for _, code := range denial.Codes {
		body := Failure{http.StatusText(code.Status()), code.Message(), string(code)}
		out[code] = NewRefusal(code.Status(), body, challenge(code))
	}
	return out
}()

// RefusalFor returns the response to a denial or an error, and nil if there is neither.
func RefusalFor(denied authn.Denial, err error) *Refusal {
	switch {
	case err != nil:
		return undecided
	case denied.Denied():
		return refusals[denied.Code()]
	}
	return nil
}

// RespondIfDenied writes the response to a denial or an error, and reports whether it did.
func RespondIfDenied(w http.ResponseWriter, denied authn.Denial, err error) bool {
	refusal := RefusalFor(denied, err)
	if refusal == nil {
		return false
	}
	refusal.Write(w)
	return true
}

// challenge returns the challenge of RFC 6750, section 3. It has no error attribute if the request had no credential.
func challenge(code denial.Code) string {
	const realm = `Bearer realm="kaana"`
	switch code {
	case denial.InsufficientScope:
		return realm + `, error="insufficient_scope"`
	case denial.InvalidToken, denial.TokenExpired:
		return realm + `, error="invalid_token", error_description="` + code.Message() + `"`
	case denial.MissingToken:
	}
	return realm
}

// writeError writes an error response.
func writeError(w http.ResponseWriter, status int, message, code string) {
	writeJSON(w, status, Failure{Error: http.StatusText(status), Message: message, Code: code})
}

// writeJSON writes a JSON response that must not be cached, without a trailing line break.
func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // a programming error, whose text must not reach the client
		status = http.StatusInternalServerError
		b = []byte(`{"error":"Internal Server Error","message":"Something went wrong","code":"internal"}`)
	}
	writeBody(w, status, b)
}

// Header values that are set without allocating. They must not be changed.
var (
	noStore = []string{"no-store"}
	isJSON  = []string{"application/json"}
	noSniff = []string{"nosniff"}
)

// Uncached adds the headers of a response that must not be cached and whose type must not be guessed.
func Uncached(h http.Header) { h["Cache-Control"], h["X-Content-Type-Options"] = noStore, noSniff }

// writeBody writes a JSON response that must not be cached.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = isJSON
	Uncached(h)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
