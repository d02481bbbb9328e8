// SPDX-License-Identifier: Apache-2.0

package door

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// unsynced is an index that is not complete yet.
type unsynced struct{}

func (unsynced) Ready() bool                     { return false }
func (unsynced) Projects(string) []authn.Project { return nil }
func (unsynced) Current() bool                   { return false }
func (u unsynced) Await(_ context.Context, d apikey.Digest, _ netip.Addr) (authn.Found, bool, error) {
	return u.Lookup(d)
}
func (unsynced) Lookup(apikey.Digest) (authn.Found, bool, error) {
	return authn.Found{}, false, authn.ErrUnsynced
}

// oneKey is an index with one key, whose token is "good".
type oneKey struct{ principal authn.Principal }

func (oneKey) Ready() bool                     { return true }
func (oneKey) Current() bool                   { return true }
func (oneKey) Projects(string) []authn.Project { return nil }
func (k oneKey) Await(_ context.Context, d apikey.Digest, _ netip.Addr) (authn.Found, bool, error) {
	return k.Lookup(d)
}
func (k oneKey) Lookup(d apikey.Digest) (authn.Found, bool, error) {
	return authn.Found{Key: apikey.Key{State: apikey.Active}, Credential: apikey.Credential{Phase: apikey.Current}, Principal: k.principal}, d == apikey.DigestOf("good"), nil
}

// member is the principal of most tests.
var member = authn.Principal{Role: authn.Member, Tenant: "acme", Method: authn.APIKey, Scopes: "a b", Key: authn.KeyRef{Namespace: "prod", Name: "k"}}

// setup is what a test needs to know of a server.
type setup struct {
	keys        authn.Keys
	log         *slog.Logger
	proxies     TrustedProxies
	prefix      string
	certificate bool
	audiences   []string
}

func authenticator(t testing.TB, keys authn.Keys, log *slog.Logger) *Authenticator {
	t.Helper()
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return NewAuthenticator(&authn.Verifier{Format: format, Keys: keys, Now: time.Now}, &Metrics{}, NewRecorder(), log, time.Now)
}

// handler returns all HTTP endpoints of this package, with the member's key unless change says otherwise.
func handler(t testing.TB, change func(*setup)) http.Handler {
	t.Helper()
	s := setup{keys: oneKey{member}, log: slog.New(slog.DiscardHandler), prefix: "kaana:"}
	if change != nil {
		change(&s)
	}
	auth := authenticator(t, s.keys, s.log)
	return Handler(&ForwardAuth{Auth: auth, Proxies: s.proxies}, Probes{Ready: s.keys.Ready},
		&TokenReview{Auth: auth, UsernamePrefix: s.prefix, Audiences: s.audiences, RequireCertificate: s.certificate},
		&Introspection{Auth: auth, Guard: NewGuard(auth, s.proxies)})
}

func TestAServerThatCannotDecideYetSaysSoAndNeverDenies(t *testing.T) {
	h := handler(t, func(s *setup) { s.keys = unsynced{} })
	for path, want := range map[string]int{"/readyz": 503, "/healthz": 200} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer some-imported-key")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || w.Header().Get("Retry-After") != "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for path, c := range map[string][3]string{
		"/auth":              {"application/json", "", "1"},
		"/oauth2/introspect": {"application/x-www-form-urlencoded", "token=x", "1"},
		"/webhook/tokenreview": {"application/json",
			`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"x"}}`, ""}, // see TokenReview
	} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(c[1]))
		r.Header.Set("Content-Type", c[0])
		r.Header.Set("Authorization", "Bearer some-imported-key")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 503 || w.Header().Get("Retry-After") != c[2] || w.Header().Get("X-Auth-User") != "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestForwardAuthDemandsWhatItsQuerySays(t *testing.T) {
	h := handler(t, nil)
	for query, want := range map[string]int{"": 200, "role=viewer": 200, "role=member": 200, "role=admin": 403, "scope=a": 200, "scope=a&scope=b": 200, "scope=a&scope=c": 403,
		"role=viewer&scope=b": 200, "role=root": 400, "scopes=a": 400, "scope=": 400, "scope=a+b": 400, "role=admin&role=viewer": 403, "%zz": 400, "access_token=good": 401} {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS", "PROPFIND"} {
			r := httptest.NewRequest(method, "/auth?"+query, nil)
			r.Header.Set("Authorization", "Bearer good")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s %s: %d, want %d", method, query, w.Code, want)
			}
			if known := w.Header().Get("X-Auth-Key") != ""; known != (want == 200) {
				t.Errorf("%s %s: %d names somebody: %v", method, query, w.Code, known)
			}
			for _, name := range []string{"X-Auth-Id", "X-Auth-User", "X-Auth-Role", "X-Auth-Tenant", "X-Auth-Scopes", "X-Auth-Key", "X-Auth-Method"} {
				if _, set := w.Header()[name]; !set && want != 400 {
					t.Errorf("%s %s: %s is not set, so a client's own would get through", method, query, name)
				}
			}
		}
	}
}

func TestACredentialElsewhereIsRefused(t *testing.T) {
	h := handler(t, nil)
	for name, value := range map[string]string{"X-Original-Uri": "/a?access_token=x", "X-Original-Url": "https://h/a?b=1&access_token=x", "X-Forwarded-Uri": "/?access_token=x", "Cookie": "a=b; access_token=x"} {
		r := httptest.NewRequest(http.MethodGet, "/auth", nil)
		r.Header.Set("Authorization", "Bearer good")
		r.Header.Set(name, value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 401 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

func TestTheClientIsTheRightmostAddressThatNoTrustedProxyHas(t *testing.T) {
	proxies := TrustedProxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct {
		peer    string
		headers []string
		want    string
	}{
		"the peer, when it is no proxy":        {"192.0.2.1:1", []string{"203.0.113.9"}, "192.0.2.1"},
		"whom a proxy names":                   {"10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"not whom the client names":            {"10.0.0.1:1", []string{"10.9.9.9, 198.51.100.1, 203.0.113.9"}, "203.0.113.9"},
		"through several proxies":              {"10.0.0.1:1", []string{"198.51.100.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"and several headers":                  {"10.0.0.1:1", []string{"198.51.100.1", "203.0.113.9"}, "203.0.113.9"},
		"the proxy, when it names nobody":      {"10.0.0.1:1", nil, "10.0.0.1"},
		"nobody, when what it names cannot be": {"10.0.0.1:1", []string{"203.0.113.9, unknown"}, "invalid IP"},
		"nobody, when a name is empty":         {"10.0.0.1:1", []string{"203.0.113.9,"}, "invalid IP"},
		"an IPv6 proxy":                        {"[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		"an IPv4 proxy in IPv6 form":           {"[::ffff:10.0.0.1]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"the leftmost when all are proxies":    {"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/auth", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = c.peer, c.headers
		if got := proxies.Client(r).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestBadInputIsRefusedWithTheRightStatus(t *testing.T) {
	h := handler(t, nil)
	review := `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"good"}}`
	for name, c := range map[string]struct {
		path, kind, body string
		want             int
	}{
		"a good review":             {"/webhook/tokenreview", "application/json", review, 200},
		"with a charset":            {"/webhook/tokenreview", "application/json; charset=utf-8", review, 200},
		"of v1beta1":                {"/webhook/tokenreview", "application/json", strings.Replace(review, "/v1", "/v1beta1", 1), 200},
		"of a version nobody knows": {"/webhook/tokenreview", "application/json", strings.Replace(review, "/v1", "/v2", 1), 400},
		"of another kind":           {"/webhook/tokenreview", "application/json", strings.Replace(review, "TokenReview", "SubjectAccessReview", 1), 400},
		"that is no JSON":           {"/webhook/tokenreview", "application/json", "{", 400},
		"that is nothing":           {"/webhook/tokenreview", "application/json", "", 400},
		"with something behind":     {"/webhook/tokenreview", "application/json", review + "{}", 400},
		"with a bracket behind":     {"/webhook/tokenreview", "application/json", review + "]", 400},
		"with a brace behind":       {"/webhook/tokenreview", "application/json", review + "} x", 400},
		"in another type":           {"/webhook/tokenreview", "application/vnd.kubernetes.protobuf", review, 415},
		"without a type":            {"/webhook/tokenreview", "", review, 415},
		"that is huge":              {"/webhook/tokenreview", "application/json", strings.Replace(review, "good", strings.Repeat("x", 1<<20), 1), 413},
		"a good introspection":      {"/oauth2/introspect", "application/x-www-form-urlencoded", "token=good", 403}, // the key has not the scope
		"of JSON":                   {"/oauth2/introspect", "application/json", `{"token":"good"}`, 403},
	} {
		r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
		r.Header.Set("Authorization", "Bearer good")
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, c.want, w.Body)
		}
	}
	h = handler(t, func(s *setup) {
		s.keys = oneKey{authn.Principal{Role: authn.Admin, Tenant: "acme", Method: authn.APIKey}}
	})
	for name, c := range map[string]struct {
		kind, body string
		want       int
	}{
		"a good one": {"application/x-www-form-urlencoded", "token=good&client_ip=192.0.2.1", 200}, "JSON": {"application/json", "{}", 415}, "no token": {"application/x-www-form-urlencoded", "", 400},
		"two tokens": {"application/x-www-form-urlencoded", "token=good&token=good", 400}, "no address": {"application/x-www-form-urlencoded", "token=good&client_ip=here", 400},
		"broken": {"application/x-www-form-urlencoded", "token=%zz", 400}, "huge": {"application/x-www-form-urlencoded", "token=" + strings.Repeat("x", 1<<20), 413},
	} {
		r := httptest.NewRequest(http.MethodPost, "/oauth2/introspect", strings.NewReader(c.body))
		r.Header.Set("Authorization", "Bearer good")
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("introspection, %s: %d, want %d: %s", name, w.Code, c.want, w.Body)
		}
	}
}

func TestIntrospectionAnswersForItsOwnTenantOnly(t *testing.T) {
	caller := authn.Principal{Role: authn.Member, Tenant: "acme", Method: authn.APIKey}
	for tenant, want := range map[string]string{"acme": `"active":true`, "globex": `{"active":false}`} {
		keys := oneKey{authn.Principal{Role: authn.Member, Tenant: tenant, Method: authn.APIKey, Account: authn.Account{ID: "1", Username: "a"}}}
		i := &Introspection{Auth: authenticator(t, keys, slog.New(slog.DiscardHandler))}
		r := httptest.NewRequest(http.MethodPost, "/oauth2/introspect", strings.NewReader("token=good"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		i.introspect(w, r, caller)
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) || want[0] == '{' && w.Body.String() != want {
			t.Errorf("%s: %d %s", tenant, w.Code, w.Body)
		}
	}
}

func TestAReviewRequiresTheCertificateOfTheAPIServerWhenConfigured(t *testing.T) {
	h := handler(t, func(s *setup) { s.certificate = true })
	for chains, want := range map[int]int{0: 403, 1: 200} {
		r := httptest.NewRequest(http.MethodPost, "/webhook/tokenreview", strings.NewReader(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"good"}}`))
		r.Header.Set("Content-Type", "application/json")
		r.TLS = &tls.ConnectionState{VerifiedChains: make([][]*x509.Certificate, chains)}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d chains: %d", chains, w.Code)
		}
	}
}

func TestAReviewNeverNamesAUserOfKubernetes(t *testing.T) {
	for prefix, name := range map[string]string{"": "system:admin", "system:": "admin", "sys": "tem:admin", "system": ":admin"} {
		h := handler(t, func(s *setup) {
			s.prefix = prefix
			s.keys = oneKey{authn.Principal{Role: authn.Admin, Tenant: "acme", Method: authn.APIKey, Account: authn.Account{ID: "1", Username: name}}}
		})
		r := httptest.NewRequest(http.MethodPost, "/webhook/tokenreview", strings.NewReader(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"good"}}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || strings.Contains(w.Body.String(), "system:") || strings.Contains(w.Body.String(), `"authenticated":true`) {
			t.Errorf("%q + %q: %d %s", prefix, name, w.Code, w.Body)
		}
	}
}

func TestAReviewIsForTheConfiguredAudiencesOnly(t *testing.T) {
	h := handler(t, func(s *setup) { s.audiences = []string{"https://vault.example.com"} })
	for asked, want := range map[string]string{
		``: `"authenticated":true,`,
		`,"audiences":["https://kubernetes.default.svc"]`:                        `"authenticated":true,`,
		`,"audiences":["https://other.example.com","https://vault.example.com"]`: `"audiences":["https://vault.example.com"]`,
	} {
		r := httptest.NewRequest(http.MethodPost, "/webhook/tokenreview", strings.NewReader(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"good"`+asked+`}}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "kubernetes.default") || strings.Contains(w.Body.String(), "other.example") {
			t.Errorf("%s: %s", asked, w.Body)
		}
		if !strings.Contains(want, "audiences") && strings.Contains(w.Body.String(), "audiences") {
			t.Errorf("%s: %s", asked, w.Body)
		}
	}
}

func TestAnIdentityHeaderInAnotherSpellingIsRefused(t *testing.T) {
	h := handler(t, nil)
	for name, want := range map[string]int{
		"X-Auth-User": 200, "x-auth-user": 200, "X-AUTH-ROLE": 200, "X-Auth-Users": 200, "X-Other": 200, "X-Auth-Usex": 200,
		"X_Auth_User": 403, "x_auth-role": 403, "X.Auth.Role": 403, "X~Auth~User": 403, "X-Auth_Scopes": 403, "X!Auth!Id": 403, "x'auth'tenant": 403, "X_AUTH_KEY": 403, "X*Auth*Method": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/auth", nil)
		r.Header.Set("Authorization", "Bearer good")
		r.Header[name] = []string{"root"}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", name, w.Code, want)
		}
	}
}

func TestAScopeMustBeGrantedByNameWhenTheRouteSaysSo(t *testing.T) {
	for _, c := range []struct {
		scopes authn.Scopes
		query  string
		want   int
		header string
	}{
		{"", "scope=a", 200, "*"}, {"", "scope=a&explicit=true", 403, ""}, {"a b", "scope=a&explicit=true", 200, "a b"}, {"b", "scope=a&explicit=true", 403, ""},
		{"", "explicit=true", 200, "*"}, {"", "scope=a&explicit=yes", 400, ""}, {"", "scope=a&explicit=true&explicit=true", 400, ""}, {authn.NoScopes, "", 200, "none"},
	} {
		h := handler(t, func(s *setup) {
			s.keys = oneKey{authn.Principal{Role: authn.Admin, Tenant: "acme", Method: authn.APIKey, Scopes: c.scopes, Key: authn.KeyRef{Namespace: "prod", Name: "k"}}}
		})
		r := httptest.NewRequest(http.MethodGet, "/auth?"+c.query, nil)
		r.Header.Set("Authorization", "Bearer good")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want || w.Header().Get("X-Auth-Scopes") != c.header {
			t.Errorf("scopes %q, %s: %d %q", c.scopes, c.query, w.Code, w.Header().Get("X-Auth-Scopes"))
		}
	}
}

func TestStrangersCannotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	h := handler(t, func(s *setup) { s.log = slog.New(slog.NewJSONHandler(&log, nil)) })
	for range 10_000 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/auth", nil))
	}
	if n := bytes.Count(log.Bytes(), []byte("\n")); n < denialsBurst || n > 3*denialsBurst {
		t.Errorf("%d lines for 10,000 denials", n)
	}
}

func TestBearerReadsExactlyOneCredential(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		query   string
		token   string
		denied  string
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
		token, denied := Credential(r)
		if token != c.token || denied.Reason.String() != c.denied {
			t.Errorf("%s: %q, %+v", name, token, denied)
		}
	}
}

func TestTheBodiesOfDenialsAreThoseOfTheDocumentation(t *testing.T) {
	for code, c := range map[denial.Code]struct {
		status          int
		body, challenge string
	}{
		denial.MissingToken: {401, `{"error":"Unauthorized","message":"Invalid or missing authentication token","code":"missing_token"}`, `Bearer realm="kaana"`},
		denial.InvalidToken: {401, `{"error":"Unauthorized","message":"Invalid or missing authentication token","code":"invalid_token"}`,
			`Bearer realm="kaana", error="invalid_token", error_description="Invalid or missing authentication token"`},
		denial.TokenExpired: {401, `{"error":"Unauthorized","message":"Token expired","code":"token_expired"}`,
			`Bearer realm="kaana", error="invalid_token", error_description="Token expired"`},
		denial.InsufficientScope: {403, `{"error":"Forbidden","message":"You don't have permission to access this resource","code":"insufficient_scope"}`,
			`Bearer realm="kaana", error="insufficient_scope"`},
	} {
		w := httptest.NewRecorder()
		refusals[code].Write(w)
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
		if got, err := json.Marshal(AccountID(id)); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", id, got, err)
		}
	}
}

func TestEachVerdictIsADebugLineWithoutTheToken(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 2} {
		var log bytes.Buffer
		h := handler(t, func(s *setup) {
			s.log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))
		})
		for _, token := range []string{"good", "kaana_thisIsNotAToken"} {
			r := httptest.NewRequest(http.MethodGet, "/auth", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		if n := strings.Count(log.String(), `"msg":"verdict"`); n != want || strings.Contains(log.String(), "kaana_this") {
			t.Errorf("%s: %s", level, log.String())
		}
		if line := `"door":"forward_auth","route":"/auth","outcome":"allowed","reason":"","method":"apikey","key":"prod/k"`; want > 0 && !strings.Contains(log.String(), line) {
			t.Errorf("no line of the accepted request: %s", log.String())
		}
	}
}

func TestAVerdictAllocatesNothing(t *testing.T) {
	auth := authenticator(t, oneKey{member}, slog.New(slog.DiscardHandler))
	at := Attempt{Endpoint: EndpointForwardAuth, Token: "good", Route: forwardAuthPath}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = auth.Authenticate(t.Context(), at) }); n > 0 {
		t.Errorf("a verdict allocates %v times", n)
	}
}
