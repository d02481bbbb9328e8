// SPDX-License-Identifier: Apache-2.0

package login

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func door(t *testing.T, fill byte) *Door {
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
	d := door(t, 1)
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
		if _, ok := door(t, 2).Token(httptest.NewRecorder(), browse(w)); ok {
			t.Error("another key opens it")
		}
		var a attempt
		if d.sealer.read(browse(w), attemptName, &a) == nil {
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
		d := door(t, 1)
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
	d := door(t, 1)
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
		if next, err := d.Complete(httptest.NewRecorder(), r); err == nil || next != "" {
			t.Errorf("%s: %q", name, next)
		}
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
