// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

// unsynced is a keyring that does not know yet.
type unsynced struct{}

func (unsynced) Ready() bool                     { return false }
func (unsynced) Projects(string) []authn.Project { return nil }
func (unsynced) Lookup(apikey.Digest) (authn.Found, bool, error) {
	return authn.Found{}, false, authn.ErrUnsynced
}

func unsyncedServer(t *testing.T, log *bytes.Buffer) http.Handler {
	t.Helper()
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	s := Server{Verifier: &authn.Verifier{Format: format, Keys: unsynced{}, Now: time.Now}, Log: slog.New(slog.NewJSONHandler(log, nil))}
	return s.Handler()
}

func TestAServerThatDoesNotKnowYetSaysSoAndNeverNo(t *testing.T) {
	var log bytes.Buffer
	h := unsyncedServer(t, &log)
	for path, want := range map[string]int{"/api/user": 503, "/api/projects": 503, "/readyz": 503, "/healthz": 200} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer some-imported-key")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || w.Header().Get("Retry-After") != "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestBearerReadsExactlyOneCredential(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		query   string
		token   string
		denial  string
	}{
		"one bearer token is read":              {[]string{"Bearer abc"}, "", "abc", ""},
		"its scheme in any case":                {[]string{"bEARER abc"}, "", "abc", ""},
		"spaces around it do not count":         {[]string{"Bearer   abc "}, "", "abc", ""},
		"no header is missing":                  {nil, "", "", "missing"},
		"an empty header is missing":            {[]string{""}, "", "", "scheme"},
		"the scheme alone is missing":           {[]string{"Bearer"}, "", "", "missing"},
		"another scheme is none":                {[]string{"Basic abc"}, "", "", "scheme"},
		"two headers are ambiguous":             {[]string{"Bearer abc", "Bearer abc"}, "", "", "ambiguous"},
		"two in one header are malformed":       {[]string{"Bearer abc, Bearer def"}, "", "", "malformed"},
		"or without a space":                    {[]string{"Bearer abc,def"}, "", "", "malformed"},
		"a space inside is malformed":           {[]string{"Bearer ab c"}, "", "", "malformed"},
		"a tab inside is malformed":             {[]string{"Bearer ab\tc"}, "", "", "malformed"},
		"a control character is malformed":      {[]string{"Bearer ab\x00c"}, "", "", "malformed"},
		"text beyond ASCII is malformed":        {[]string{"Bearer äbc"}, "", "", "malformed"},
		"a token in the query too is ambiguous": {[]string{"Bearer abc"}, "access_token=abc", "", "ambiguous"},
		"however it is written":                 {[]string{"Bearer abc"}, "x=1&access%5Ftoken=abc", "", "ambiguous"},
		"a token in the query alone is refused": {nil, "access_token=abc", "", "ambiguous"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/user?"+c.query, nil)
		r.Header["Authorization"] = c.headers
		token, denial := bearer(r)
		if token != c.token || denial.Reason != c.denial {
			t.Errorf("%s: %q, %+v", name, token, denial)
		}
	}
}

func TestTheBodiesOfDenialsAreThoseOfTheDocumentation(t *testing.T) {
	for code, c := range map[authn.Code]struct {
		status          int
		body, challenge string
	}{
		authn.MissingToken: {401, `{"error":"Unauthorized","message":"Invalid or missing authentication token","code":"missing_token"}`, `Bearer realm="kaana"`},
		authn.InvalidToken: {401, `{"error":"Unauthorized","message":"Invalid or missing authentication token","code":"invalid_token"}`,
			`Bearer realm="kaana", error="invalid_token", error_description="Invalid or missing authentication token"`},
		authn.TokenExpired: {401, `{"error":"Unauthorized","message":"Token expired","code":"token_expired"}`,
			`Bearer realm="kaana", error="invalid_token", error_description="Token expired"`},
		authn.Forbidden: {403, `{"error":"Forbidden","message":"You don't have permission to access this resource","code":"insufficient_scope"}`,
			`Bearer realm="kaana", error="insufficient_scope"`},
	} {
		w := httptest.NewRecorder()
		writeDenial(w, authn.Denial{Code: code})
		if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: %d %s %s", code, w.Code, w.Body, w.Header())
		}
	}
}

func TestAnAccountIDIsANumberWhenEveryReaderKeepsIt(t *testing.T) {
	for id, want := range map[string]string{
		"123": "123", "0": "0", "9007199254740991": "9007199254740991",
		"9007199254740992": `"9007199254740992"`, "007": `"007"`, "-1": `"-1"`, "+1": `"+1"`, "1e3": `"1e3"`, "": `""`,
		"auth0|5f": `"auth0|5f"`, `a"b`: `"a\"b"`,
	} {
		if got, err := json.Marshal(accountID(id)); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", id, got, err)
		}
	}
}

func TestTheAuditLineNamesTheRouteAndNeverTheToken(t *testing.T) {
	var log bytes.Buffer
	h := unsyncedServer(t, &log)
	const typo = "kaana_thisIsNotAToken"
	for _, path := range []string{"/api/user?access_token=" + typo, "/api/user/" + typo} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+typo)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if strings.Contains(log.String(), typo) {
		t.Errorf("the log holds what was presented: %s", log.String())
	}
	if !strings.Contains(log.String(), `"route":"GET /api/user","status":401,"code":"invalid_token","reason":"ambiguous"`) {
		t.Errorf("no audit line: %s", log.String())
	}
}
