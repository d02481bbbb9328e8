// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
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
		s := session{Access: strings.Repeat("a", size), Refresh: "r", Expires: time.Now().Add(time.Hour), Ends: time.Now().Add(time.Hour)}
		w := httptest.NewRecorder()
		if err := d.sealer.write(w, httptest.NewRequest(http.MethodGet, "/", nil), sessionName, s, time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.Result().Cookies() {
			if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.String()) > 4096 || strings.Contains(c.Value, "aaaa") {
				t.Errorf("%+v", c)
			}
		}
		if got, ok := d.Token(httptest.NewRecorder(), browse(w)); !ok || got != s.Access {
			t.Errorf("%d bytes: %v", size, ok)
		}
		if _, ok := sessions(t, 2).Token(httptest.NewRecorder(), browse(w)); ok {
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
		if _, ok := d.Token(httptest.NewRecorder(), changed); ok {
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
		"one under way is used":                          {session{Access: "a", Expires: now.Add(time.Hour), Ends: now.Add(time.Hour)}, true},
		"one that has ended is not":                      {session{Access: "a", Expires: now.Add(time.Hour), Ends: now}, false},
		"nor one whose token has, and cannot be renewed": {session{Access: "a", Expires: now.Add(-time.Second), Ends: now.Add(time.Hour)}, false},
		"a token about to end is used until it does":     {session{Access: "a", Expires: now.Add(10 * time.Second), Ends: now.Add(time.Hour)}, true},
	} {
		d := sessions(t, 1)
		w := httptest.NewRecorder()
		if err := d.sealer.write(w, httptest.NewRequest(http.MethodGet, "/", nil), sessionName, c.s, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, ok := d.Token(httptest.NewRecorder(), browse(w)); ok != c.want {
			t.Errorf("%s: %v", name, ok)
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

// TestASignInAtARealIssuer goes the whole way: there, back, on when the access token ends, and out.
func TestASignInAtARealIssuer(t *testing.T) {
	const at = "https://localhost"
	cert, err := cluster.NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	i, err := issuer.Start(t.Context(), address, cert.CertFile, cert.KeyFile, at+CallbackPath, at+"/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Stop() })
	pem, err := os.ReadFile(cert.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	now := time.Now()
	d, err := New(Config{Issuer: i.URL, ClientID: issuer.ClientID, ClientSecret: issuer.ClientSecret, Audience: issuer.Audience, URL: at, Key: bytes.Repeat([]byte{1}, KeySize),
		Client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}

	begun := httptest.NewRecorder()
	if err := d.Begin(begun, httptest.NewRequest(http.MethodPost, "/login", nil), "/settings/api-keys?q=a"); err != nil {
		t.Fatal(err)
	}
	to := begun.Header().Get("Location")
	if !strings.Contains(to, "code_challenge_method=S256") || !strings.Contains(to, "nonce=") || !strings.Contains(to, "audience=") {
		t.Errorf("sent to %s", to)
	}
	back, err := issuer.Approve(t.Context(), i.URL, cert.CAFile, to, "member")
	if err != nil {
		t.Fatal(err)
	}
	r := browse(begun)
	r.URL = back
	done := httptest.NewRecorder()
	next, err := d.Complete(done, r)
	if err != nil || next != "/settings/api-keys?q=a" {
		t.Fatalf("%q, %v", next, err)
	}
	if _, err := d.Complete(httptest.NewRecorder(), r); err == nil {
		t.Error("a code is good twice")
	}
	signed := browse(done)
	first, ok := d.Token(httptest.NewRecorder(), signed)
	if !ok || strings.Count(first, ".") != 2 {
		t.Fatalf("%q", first)
	}

	now = now.Add(9*time.Minute + 30*time.Second) // of ten
	renewed := httptest.NewRecorder()
	second, ok := d.Token(renewed, signed)
	if !ok || second == first {
		t.Errorf("not renewed: %v", ok)
	}
	now = time.Now() // the new token's time counts from the real one
	if again, ok := d.Token(httptest.NewRecorder(), browse(renewed)); !ok || again != second {
		t.Error("what is renewed is not kept")
	}
	if to := d.End(httptest.NewRecorder(), signed); !strings.HasPrefix(to, i.URL+"oidc/logout?") || !strings.Contains(to, "client_id="+issuer.ClientID) {
		t.Errorf("signed out to %s", to)
	}
	now = now.Add(13 * time.Hour)
	if _, ok := d.Token(httptest.NewRecorder(), browse(renewed)); ok {
		t.Error("a session does not end")
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
