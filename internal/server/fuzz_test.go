// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	authenticationv1 "k8s.io/api/authentication/v1"
)

// FuzzTokenReview wants of any body a well-formed answer, and a yes only for the one good token.
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
		loosely(t, nil).Handler().ServeHTTP(w, r)
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

// FuzzCheckRequest wants of any request an answer that is no error, and an OK only with the one good
// token.
func FuzzCheckRequest(f *testing.F) {
	for _, header := range []string{"Bearer good", "bearer good", "Bearer bad", "Bearer good,Bearer good", ""} {
		b, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{ContextExtensions: map[string]string{"scope": "a"},
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Path: "/?a=b", Headers: map[string]string{"authorization": header}}}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in authv3.CheckRequest
		if proto.Unmarshal(b, &in) != nil {
			return // grpc-go refuses it before us
		}
		e := &extAuthz{server: loosely(t, nil)}
		resp, err := e.Check(t.Context(), &in)
		if err != nil || resp.GetOkResponse() == nil && resp.GetDeniedResponse() == nil {
			t.Fatalf("%v %v", resp, err)
		}
		if resp.GetOkResponse() != nil && !strings.Contains(in.String(), "good") {
			t.Errorf("%v lets somebody through", &in)
		}
	})
}
