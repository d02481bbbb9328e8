// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/test/cluster"
	"github.com/kaana/apikey-operator/test/issuer"
)

func sessions(t *testing.T, fill byte) *Sessions {
	t.Helper()
	d, err := New(Config{Key: bytes.Repeat([]byte{fill}, KeySize), URL: "https://keys.example.com", Issuer: "https://issuer.invalid/"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// browse returns a request with the cookies of an answer.
func browse(w *httptest.ResponseRecorder) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge >= 0 {
			r.AddCookie(c)
		}
	}
	return r
}

func TestASessionIsSealedAndKeptToThisHost(t *testing.T) {
	d := sessions(t, 1)
	for _, size := range []int{10, 2000, 9000} {
		s := session{ID: "id", Access: strings.Repeat("a", size), Refresh: "r", Expires: time.Now().Add(time.Hour), Ends: time.Now().Add(time.Hour)}
		w := httptest.NewRecorder()
		if err := d.sealer.write(w, httptest.NewRequest(http.MethodGet, "/", nil), sessionName, s, time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.Result().Cookies() {
			if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.String()) > 4096 || strings.Contains(c.Value, "aaaa") {
				t.Errorf("%+v", c)
			}
		}
		if got, err := d.Token(httptest.NewRecorder(), browse(w)); err != nil || got != s.Access {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := sessions(t, 2).Token(httptest.NewRecorder(), browse(w)); !errors.Is(err, ErrNone) {
			t.Error("another key opens it")
		}
		renamed := httptest.NewRequest(http.MethodGet, "/", nil)
		for n, c := range browse(w).Cookies() {
			renamed.AddCookie(&http.Cookie{Name: part(attemptName, n), Value: c.Value})
		}
		var a attempt
		if d.sealer.read(renamed, attemptName, &a) == nil {
			t.Error("one cookie stands for another")
		}
		r := browse(w)
		changed := httptest.NewRequest(http.MethodGet, "/", nil)
		for _, c := range r.Cookies() {
			c.Value = c.Value[:len(c.Value)-1] + map[bool]string{true: "A", false: "B"}[c.Value[len(c.Value)-1] != 'A']
			changed.AddCookie(c)
		}
		if _, err := d.Token(httptest.NewRecorder(), changed); !errors.Is(err, ErrNone) {
			t.Error("a changed one is accepted")
		}
	}
	if d.sealer.write(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), sessionName, session{Access: strings.Repeat("a", 20_000)}, time.Hour) == nil {
		t.Error("a session that no browser keeps is written")
	}
	if _, err := New(Config{Key: []byte("short")}, time.Now); err == nil {
		t.Error("a short key is taken")
	}
}

func TestASessionEnds(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		s    session
		want bool
	}{
		"one under way is used":                          {session{ID: "id", Access: "a", Expires: now.Add(time.Hour), Ends: now.Add(time.Hour)}, true},
		"one that has ended is not":                      {session{ID: "id", Access: "a", Expires: now.Add(time.Hour), Ends: now}, false},
		"nor one whose token has, and cannot be renewed": {session{ID: "id", Access: "a", Expires: now.Add(-time.Second), Ends: now.Add(time.Hour)}, false},
		"a token about to end is used until it does":     {session{ID: "id", Access: "a", Expires: now.Add(10 * time.Second), Ends: now.Add(time.Hour)}, true},
	} {
		d := sessions(t, 1)
		w := httptest.NewRecorder()
		if err := d.sealer.write(w, httptest.NewRequest(http.MethodGet, "/", nil), sessionName, c.s, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Token(httptest.NewRecorder(), browse(w)); (err == nil) != c.want || err != nil && !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASignInBeginsAndEndsInOneBrowser(t *testing.T) {
	d := sessions(t, 1)
	good := attempt{State: "s", Nonce: "n", Verifier: "v", Next: "/", Expires: time.Now().Add(time.Minute)}
	late := good
	late.Expires = time.Now()
	for name, c := range map[string]struct {
		attempt *attempt
		query   string
	}{"without an attempt": {nil, "?state=s&code=c"}, "with another's state": {&good, "?state=x&code=c"}, "without a state": {&good, "?code=c"}, "too late": {&late, "?state=s&code=c"}, "refused": {&good, "?state=s&error=access_denied"}} {
		w := httptest.NewRecorder()
		if c.attempt != nil {
			if err := d.sealer.write(w, httptest.NewRequest(http.MethodGet, "/", nil), attemptName, c.attempt, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		r := browse(w)
		r.URL, _ = url.Parse(CallbackPath + c.query)
		if next, err := d.Complete(httptest.NewRecorder(), r); !errors.Is(err, ErrAttempt) || next != "" {
			t.Errorf("%s: %q, %v", name, next, err)
		}
	}
}

// world is a real issuer and Sessions that sign in there, with a clock.
type world struct {
	*Sessions
	issuer *issuer.Issuer
	caFile string
	now    time.Time
}

func newWorld(t *testing.T, registry Registry) *world {
	t.Helper()
	const at = "https://localhost"
	cert, err := cluster.NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	i, err := issuer.Start(t.Context(), cert.CertFile, cert.KeyFile, at+CallbackPath, at+"/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Stop() })
	w := &world{issuer: i, caFile: cert.CAFile, now: time.Now()}
	w.Sessions = w.server(t, registry)
	return w
}

// server returns one more server with the same key.
func (w *world) server(t *testing.T, registry Registry) *Sessions {
	t.Helper()
	pem, err := os.ReadFile(w.caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	d, err := New(Config{Issuer: w.issuer.URL, ClientID: issuer.ClientID, ClientSecret: issuer.ClientSecret, Audience: issuer.Audience, URL: "https://localhost", Key: bytes.Repeat([]byte{1}, KeySize),
		Client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, Registry: registry}, func() time.Time { return w.now })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// signIn goes the whole way, and returns the browser of who is signed in.
func (w *world) signIn(t *testing.T) *http.Request {
	t.Helper()
	begun := httptest.NewRecorder()
	if err := w.Begin(begun, httptest.NewRequest(http.MethodPost, "/login", nil), "/settings/api-keys?q=a"); err != nil {
		t.Fatal(err)
	}
	to := begun.Header().Get("Location")
	if !strings.Contains(to, "code_challenge_method=S256") || !strings.Contains(to, "nonce=") || !strings.Contains(to, "audience=") {
		t.Errorf("sent to %s", to)
	}
	back, err := issuer.Approve(t.Context(), w.issuer.URL, w.caFile, to, "member")
	if err != nil {
		t.Fatal(err)
	}
	r := browse(begun)
	r.URL = back
	done := httptest.NewRecorder()
	next, err := w.Complete(done, r)
	if err != nil || next != "/settings/api-keys?q=a" {
		t.Fatalf("%q, %v", next, err)
	}
	if _, err := w.Complete(httptest.NewRecorder(), r); err == nil {
		t.Error("a code is good twice")
	}
	return browse(done)
}

// TestASignInAtARealIssuer goes the whole way: there, back, on when the access token ends, and out.
func TestASignInAtARealIssuer(t *testing.T) {
	d := newWorld(t, nil)
	signed := d.signIn(t)
	first, err := d.Token(httptest.NewRecorder(), signed)
	if err != nil || strings.Count(first, ".") != 2 {
		t.Fatalf("%q, %v", first, err)
	}
	d.now = d.now.Add(9*time.Minute + 30*time.Second) // of ten
	renewed := httptest.NewRecorder()
	second, err := d.Token(renewed, signed)
	if err != nil || second == first {
		t.Errorf("not renewed: %v", err)
	}
	d.now = time.Now() // the new token's time counts from the real one
	if again, err := d.Token(httptest.NewRecorder(), browse(renewed)); err != nil || again != second {
		t.Error("what is renewed is not kept")
	}
	copied := browse(renewed)
	to, err := d.End(httptest.NewRecorder(), browse(renewed))
	if err != nil || !strings.HasPrefix(to, d.issuer.URL+"oidc/logout?") || !strings.Contains(to, "client_id="+issuer.ClientID) {
		t.Errorf("signed out to %s, %v", to, err)
	}
	for name, r := range map[string]*http.Request{"a copy of its cookie": copied, "a copy from before it was renewed": signed} {
		if _, err := d.Token(httptest.NewRecorder(), r); !errors.Is(err, ErrNone) {
			t.Errorf("%s works after the sign-out: %v", name, err)
		}
	}
	var s session
	if err := d.sealer.read(copied, sessionName, &s); err != nil {
		t.Fatal(err)
	}
	if _, err := d.refresh(t.Context(), s); !refused(err) {
		t.Errorf("the issuer still accepts the refresh token: %v", err)
	}

	other := d.signIn(t)
	d.now = d.now.Add(13 * time.Hour)
	if _, err := d.Token(httptest.NewRecorder(), other); !errors.Is(err, ErrNone) {
		t.Error("a session does not end")
	}
}

func TestASignInEndsTheSessionThatItReplaces(t *testing.T) {
	d := newWorld(t, nil)
	signed := d.signIn(t)
	begun := httptest.NewRecorder()
	if err := d.Begin(begun, signed, "/"); err != nil {
		t.Fatal(err)
	}
	back, err := issuer.Approve(t.Context(), d.issuer.URL, d.caFile, begun.Header().Get("Location"), "admin")
	if err != nil {
		t.Fatal(err)
	}
	r := browse(begun)
	for _, c := range signed.Cookies() {
		r.AddCookie(c)
	}
	r.URL = back
	if _, err := d.Complete(httptest.NewRecorder(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Token(httptest.NewRecorder(), signed); !errors.Is(err, ErrNone) {
		t.Errorf("the session before works on: %v", err)
	}
}

// TestManyTabsRefreshOnce is about an issuer that accepts each refresh token once, as the local one does: a browser that
// opens again sends many requests with one cookie.
func TestManyTabsRefreshOnce(t *testing.T) {
	d := newWorld(t, nil)
	signed := d.signIn(t)
	d.now = d.now.Add(11 * time.Minute) // the access token has expired
	tokens := make(chan string, 8)
	var tabs sync.WaitGroup
	for range cap(tokens) {
		tabs.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for _, c := range signed.Cookies() {
				r.AddCookie(c)
			}
			token, err := d.Token(httptest.NewRecorder(), r)
			if err != nil {
				t.Errorf("a tab is signed out: %v", err)
			}
			tokens <- token
		})
	}
	tabs.Wait()
	first := <-tokens
	for range cap(tokens) - 1 {
		if token := <-tokens; token != first || token == "" {
			t.Error("two tabs have different tokens")
		}
	}
	d.now = d.now.Add(30 * time.Second)
	if late, err := d.Token(httptest.NewRecorder(), signed); err != nil || late != first {
		t.Errorf("a request that was sent before the cookie was renewed: %v", err)
	}
}

// shared is a Registry as two servers have it: only one of them claims a refresh token.
type shared struct {
	Memory
	mu      sync.Mutex
	claimed map[string]bool
	fault   error
}

func (s *shared) SessionEnded(ctx context.Context, id string) (bool, error) {
	if s.fault != nil {
		return false, s.fault
	}
	return s.Memory.SessionEnded(ctx, id)
}

func (s *shared) EndSession(ctx context.Context, id string, until time.Time) error {
	if s.fault != nil {
		return s.fault
	}
	return s.Memory.EndSession(ctx, id, until)
}

func (s *shared) ClaimRefresh(_ context.Context, name string, _ time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.claimed[name]
	s.claimed[name] = true
	return !was, nil
}

func (s *shared) ReleaseRefresh(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.claimed, name)
	return nil
}

func TestServersShareWhatTheyKnowOfSessions(t *testing.T) {
	registry := &shared{claimed: map[string]bool{}}
	d := newWorld(t, registry)
	two := d.server(t, registry)
	signed := d.signIn(t)
	d.now = d.now.Add(11 * time.Minute)
	renewed := httptest.NewRecorder()
	if _, err := d.Token(renewed, signed); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if _, err := two.Token(w, signed); err == nil || errors.Is(err, ErrNone) || len(w.Result().Cookies()) != 0 {
		t.Errorf("another server uses the refresh token again, or signs out: %v", err)
	}
	if token, err := two.Token(httptest.NewRecorder(), browse(renewed)); err != nil || token == "" {
		t.Errorf("the renewed cookie at another server: %v", err)
	}

	registry.fault = errors.New("the database is unavailable")
	w = httptest.NewRecorder()
	if _, err := two.Token(w, browse(renewed)); err == nil || errors.Is(err, ErrNone) || len(w.Result().Cookies()) != 0 {
		t.Errorf("without the database it is decided whether a session was ended: %v", err)
	}
	registry.fault = nil
	if _, err := d.End(httptest.NewRecorder(), browse(renewed)); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Token(httptest.NewRecorder(), browse(renewed)); !errors.Is(err, ErrNone) {
		t.Errorf("a session that was ended works at another server: %v", err)
	}
}

// TestAnIssuerThatKeepsItsRefreshTokensIsAskedAgain is about issuers that do not rotate refresh tokens.
func TestAnIssuerThatKeepsItsRefreshTokensIsAskedAgain(t *testing.T) {
	answer, status := `{"access_token":"t%d","token_type":"Bearer","expires_in":60,"refresh_token":"same"}`, http.StatusOK
	calls := 0
	var url string
	at := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/token" {
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":"%[1]s/a","token_endpoint":"%[1]s/token","jwks_uri":"%[1]s/keys"}`, url)
			return
		}
		calls++
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, strings.ReplaceAll(answer, "%d", fmt.Sprint(calls)))
	}))
	t.Cleanup(at.Close)
	url = at.URL
	now := time.Now()
	d, err := New(Config{Issuer: url, ClientID: "c", URL: "https://localhost", Key: bytes.Repeat([]byte{1}, KeySize), Client: at.Client()}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := d.keep(w, httptest.NewRequest(http.MethodGet, "/", nil), session{ID: "id", Access: "t0", Refresh: "same", Expires: now, Ends: now.Add(12 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r := browse(w)
		w = httptest.NewRecorder()
		if token, err := d.Token(w, r); err != nil || token != fmt.Sprint("t", i+1) {
			t.Fatalf("refresh %d: %s, %v", i+1, token, err)
		}
		now = now.Add(20 * time.Second)
	}
	now = now.Add(time.Hour)
	for _, c := range []struct {
		name, answer string
		status       int
		over         bool
	}{
		{"a proxy that knows no such path", "not found", http.StatusNotFound, false},
		{"a client secret that is no longer right", `{"error":"invalid_client"}`, http.StatusUnauthorized, false},
		{"an issuer that is busy", `{"error":"temporarily_unavailable"}`, http.StatusBadRequest, false},
		{"a refresh token that was revoked", `{"error":"invalid_grant"}`, http.StatusBadRequest, true},
	} {
		answer, status = c.answer, c.status
		if _, err := d.Token(httptest.NewRecorder(), browse(w)); err == nil || errors.Is(err, ErrNone) != c.over {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestASignInThatTheIssuerDoesNotAnswerIsNotRefused(t *testing.T) {
	for name, away := range map[string]func(*world) error{
		"all of the issuer": func(d *world) error { return d.issuer.Stop() },
		"its keys":          func(d *world) error { d.issuer.HideKeys(true); return nil },
	} {
		t.Run(name, func(t *testing.T) { signInWithout(t, away) })
	}
}

func signInWithout(t *testing.T, away func(*world) error) {
	t.Helper()
	d := newWorld(t, nil)
	begun := httptest.NewRecorder()
	if err := d.Begin(begun, httptest.NewRequest(http.MethodPost, "/login", nil), "/"); err != nil {
		t.Fatal(err)
	}
	back, err := issuer.Approve(t.Context(), d.issuer.URL, d.caFile, begun.Header().Get("Location"), "member")
	if err != nil {
		t.Fatal(err)
	}
	if err := away(d); err != nil {
		t.Fatal(err)
	}
	r := browse(begun)
	r.URL = back
	if _, err := d.Complete(httptest.NewRecorder(), r); err == nil || errors.Is(err, ErrAttempt) {
		t.Errorf("an issuer that does not answer refuses nothing: %v", err)
	}
}

func TestASignOutThatCannotBeStoredCanBeRepeated(t *testing.T) {
	registry := &shared{claimed: map[string]bool{}}
	d := newWorld(t, registry)
	signed := d.signIn(t)
	registry.fault = errors.New("the database is unavailable")
	w := httptest.NewRecorder()
	if _, err := d.End(w, signed); err == nil || len(w.Result().Cookies()) != 0 {
		t.Errorf("the cookie is gone, and the session is not: %v", err)
	}
	registry.fault = nil
	if _, err := d.End(httptest.NewRecorder(), signed); err != nil {
		t.Error(err)
	}
	if _, err := d.Token(httptest.NewRecorder(), signed); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

func TestAnIssuerThatDoesNotAnswerSignsNobodyOut(t *testing.T) {
	d := newWorld(t, nil)
	signed := d.signIn(t)
	d.now = d.now.Add(11 * time.Minute)
	if err := d.issuer.Stop(); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if _, err := d.Token(w, signed); err == nil || errors.Is(err, ErrNone) || len(w.Result().Cookies()) != 0 {
		t.Errorf("signed out: %v", err)
	}
	if err := d.issuer.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if token, err := d.Token(httptest.NewRecorder(), signed); err != nil || token == "" {
		t.Errorf("when the issuer answers again: %v", err)
	}
}

func FuzzLocal(f *testing.F) {
	for _, s := range []string{"/", "/settings/api-keys?q=a#b", "//evil.example", "/\\evil.example", "https://evil.example", "/%2fevil.example", "/\tevil", "javascript:alert(1)", "", "/ /evil", "/..//evil.example", "/%5cevil"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://keys.example.com/login")
	f.Fuzz(func(t *testing.T, next string) {
		got := Local(next)
		at, err := base.Parse(got)
		if err != nil || at.Host != base.Host || at.Scheme != "https" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.HasPrefix(got, "/\\") || strings.ContainsAny(got, "\r\n\t \\") {
			t.Fatalf("%q leads to %q", next, got)
		}
	})
}
