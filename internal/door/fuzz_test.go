// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
)

// FuzzTokenReview checks that every body gets a well-formed answer, and that only the valid token is authenticated.
func FuzzTokenReview(f *testing.F) {
	good := `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"good","audiences":["a"]}}`
	for _, seed := range []string{good, strings.Replace(good, "/v1", "/v1beta1", 1), strings.Replace(good, "good", "bad", 1), `{"kind":"TokenReview"}`, `[]`, `{"spec":{"token":["good"]}}`,
		`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"bad"},"status":{"authenticated":true,"user":{"username":"system:admin"}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/webhook/tokenreview", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler(t, nil).ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		var asked, answer authenticationv1.TokenReview
		if w.Code != http.StatusOK {
			return
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		_ = json.NewDecoder(strings.NewReader(body)).Decode(&asked)
		if answer.Status.Authenticated != (asked.Spec.Token == "good") || answer.APIVersion != asked.APIVersion || strings.Contains(w.Body.String(), "system:") && !strings.Contains(asked.APIVersion, "system:") {
			t.Errorf("%s: %s", body, w.Body)
		}
	})
}
