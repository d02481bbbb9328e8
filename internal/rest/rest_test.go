// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/door"
)

// unsynced is an index that is not complete yet.
type unsynced struct{}

func (unsynced) Ready() bool                     { return false }
func (unsynced) Current() bool                   { return false }
func (unsynced) Projects(string) []authn.Project { return nil }
func (u unsynced) Await(_ context.Context, d apikey.Digest, _ netip.Addr) (authn.Found, bool, error) {
	return u.Lookup(d)
}
func (unsynced) Lookup(apikey.Digest) (authn.Found, bool, error) {
	return authn.Found{}, false, authn.ErrUnsynced
}

// handler returns the API of a server whose index is not complete yet.
func handler(t *testing.T, log *bytes.Buffer) http.Handler {
	t.Helper()
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	v := &authn.Verifier{Format: format, Keys: unsynced{}, Now: time.Now}
	audit := slog.New(slog.NewJSONHandler(log, nil))
	auth := door.NewAuthenticator(v, &door.Metrics{}, nil, audit, time.Now)
	return door.Handler(&door.ForwardAuth{Auth: auth}, &API{Auth: door.NewGuard(auth, nil), Projects: unsynced{}.Projects, Log: audit, Now: time.Now})
}

func TestAServerThatCannotDecideYetSaysSoAndNeverDenies(t *testing.T) {
	var log bytes.Buffer
	h := handler(t, &log)
	for _, path := range []string{"/api/user", "/api/projects"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer some-imported-key")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 503 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestAFailureThatPassesSaysWhenToTryAgain(t *testing.T) {
	for status, want := range map[int]string{429: "1", 503: "1", 409: "", 422: ""} {
		w := httptest.NewRecorder()
		ctx := humago.NewContext(nil, httptest.NewRequest(http.MethodPost, "/api/keys", nil), w)
		err := huma.NewErrorWithContext(ctx, 500, "unexpected", newFailure(status, "try again"))
		if got := w.Header().Get("Retry-After"); err.GetStatus() != status || got != want {
			t.Errorf("%d: %d with Retry-After %q, want %q", status, err.GetStatus(), got, want)
		}
	}
}

func TestAnAccountIDIsANumberWhenEveryReaderKeepsIt(t *testing.T) {
	for id, want := range map[string]string{"123": "123", "9007199254740992": `"9007199254740992"`, "auth0|5f": `"auth0|5f"`} {
		if got, err := json.Marshal(User{ID: accountID(id)}); err != nil || !strings.Contains(string(got), `"id":`+want+`,`) {
			t.Errorf("%q: %s, %v", id, got, err)
		}
	}
}

func TestTheAuditLineNamesTheRouteAndNeverTheToken(t *testing.T) {
	var log bytes.Buffer
	h := handler(t, &log)
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
