// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// accountID is a number in JSON when it is one that every JSON reader keeps exactly (RFC 8259,
// section 6), else a string.
type accountID string

// MarshalJSON implements json.Marshaler.
func (id accountID) MarshalJSON() ([]byte, error) {
	const maxExact = 1<<53 - 1
	if n, err := strconv.ParseInt(string(id), 10, 64); err == nil && n >= 0 && n <= maxExact && strconv.FormatInt(n, 10) == string(id) {
		return []byte(id), nil
	}
	return json.Marshal(string(id))
}

// guard lets a request through to next when its credential is good and satisfies the rule.
func (s *Server) guard(rule authn.Rule, next func(http.ResponseWriter, *http.Request, authn.Principal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p, ok := s.admitted(w, r, rule); ok {
			next(w, r, p)
		}
	}
}

// admitted returns whom a request is of, or answers it. Whoever fails too often is told to wait; who
// does not fail is never in their way.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request, rule authn.Rule) (authn.Principal, bool) {
	token, denied := bearer(r)
	from := s.client(r)
	p, denied, err := s.judge(r.Context(), presented{door: REST, token: token, denied: denied, from: from, route: r.Pattern, peer: r.RemoteAddr}, rule)
	if denied.Denied() && denied.Code() != denial.InsufficientScope && !s.failures.allow(from, time.Now()) {
		w.Header()["Retry-After"] = retryAfter
		tooMany.write(w)
		return p, false
	}
	return p, through(w, denied, err)
}

var (
	tooMany    = newRefusal(http.StatusTooManyRequests, Failure{"Too Many Requests", "Too many failed attempts from your network: wait a moment", "rate_limited"}, "")
	retryAfter = []string{"1"}
)

// through answers whoever is not let through, and reports whether the caller is.
func through(w http.ResponseWriter, denied authn.Denial, err error) bool {
	switch {
	case err != nil:
		undecidedAnswer.write(w)
	case denied.Denied():
		writeDenial(w, denied)
	default:
		return true
	}
	return false
}

// refusal is an answer that is made once: strangers ask for many.
type refusal struct {
	status    int
	message   string
	body      []byte
	challenge []string // none, or one
}

func newRefusal(status int, body Failure, challenge string) refusal {
	text, _ := json.Marshal(body) // three strings
	r := refusal{status: status, message: body.Message, body: text}
	if challenge != "" {
		r.challenge = []string{challenge}
	}
	return r
}

func (r refusal) write(w http.ResponseWriter) {
	if r.challenge != nil {
		w.Header()["Www-Authenticate"] = r.challenge
	}
	writeBody(w, r.status, r.body)
}

// undecidedAnswer is what is said when it cannot be told who somebody is.
var undecidedAnswer = newRefusal(http.StatusServiceUnavailable, Failure{"Service Unavailable", "The server cannot tell yet; try again", "unavailable"}, "")

// refusals are all denials.
var refusals = func() map[denial.Code]refusal {
	out := map[denial.Code]refusal{}
	for _, code := range denial.Codes {
		out[code] = newRefusal(code.Status(), Failure{http.StatusText(code.Status()), code.Message(), string(code)}, challenge(code))
	}
	return out
}()

// writeDenial answers with a denial.
func writeDenial(w http.ResponseWriter, d authn.Denial) { refusals[d.Code()].write(w) }

// challenge is that of RFC 6750, section 3: without an error when there was no credential to be
// wrong.
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

func writeError(w http.ResponseWriter, status int, title, message, code string) {
	writeJSON(w, status, Failure{Error: title, Message: message, Code: code})
}

// writeJSON answers with a body that no cache may keep, without a trailing line break.
func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // a programming error; nothing of it may reach the client
		status, b = http.StatusInternalServerError, []byte(`{"error":"Internal Server Error","message":"Something went wrong","code":"internal"}`)
	}
	writeBody(w, status, b)
}

var (
	noStore = []string{"no-store"}
	isJSON  = []string{"application/json"}
	noSniff = []string{"nosniff"}
)

// writeBody answers with a body of JSON that no cache may keep.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = isJSON, noStore, noSniff
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
