// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

const (
	maxReviewBytes = 64 << 10
	groupPrefix    = "apikey:"
	extraPrefix    = "auth.kaana.com/"
)

// tokenReview answers kube-apiserver (authentication.k8s.io/v1 and v1beta1, in the version that was
// asked in). controller-runtime's webhook is not used: it answers an error with a no, which
// kube-apiserver remembers. A plain 503 is asked again.
func (s *Server) tokenReview(w http.ResponseWriter, r *http.Request) {
	review, ok := s.readReview(w, r)
	if !ok {
		return
	}
	denied := authn.Denial{}
	if strings.ContainsAny(review.Spec.Token, " ,\r\n\t") {
		denied = authn.Deny(denial.Malformed)
	}
	p, denied, err := s.judge(r.Context(), presented{door: TokenReview, token: review.Spec.Token, denied: denied, route: r.Pattern, peer: r.RemoteAddr})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable) // plain, without Retry-After: asked again at once
		return
	}
	audiences := review.Spec.Audiences
	review.Spec, review.ObjectMeta, review.Status = authenticationv1.TokenReviewSpec{}, metav1.ObjectMeta{}, authenticationv1.TokenReviewStatus{}
	user := s.userInfo(&p)
	if strings.HasPrefix(user.Username, "system:") { // whatever the prefix is: it could be cluster-admin
		denied = authn.Deny(denial.Reserved)
	}
	if denied.Denied() {
		review.Status.Error = string(denied.Code())
	} else {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: user, Audiences: audiences}
	}
	writeJSON(w, http.StatusOK, review)
}

// readReview reads the question, or answers what is wrong with it.
func (s *Server) readReview(w http.ResponseWriter, r *http.Request) (review authenticationv1.TokenReview, ok bool) {
	if s.ReviewersNeedCertificate && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		writeError(w, http.StatusForbidden, "Forbidden", "This door wants the client certificate of the API server", "certificate_required")
		return review, false
	}
	if !readJSON(w, r, maxReviewBytes, &review) { // v1beta1 has the same fields
		return review, false
	}
	if review.Kind != "TokenReview" || review.APIVersion != "authentication.k8s.io/v1" && review.APIVersion != "authentication.k8s.io/v1beta1" {
		writeError(w, http.StatusBadRequest, "Bad Request", "Want a TokenReview of authentication.k8s.io/v1 or v1beta1", "bad_request")
		return review, false
	}
	return review, true
}

// userInfo says who a principal is to Kubernetes.
func (s *Server) userInfo(p *authn.Principal) authenticationv1.UserInfo {
	name := p.Username()
	if p.Account.Username != "" {
		name = s.UsernamePrefix + name
	}
	u := authenticationv1.UserInfo{Username: name, UID: p.ID(), Groups: []string{groupPrefix + "role:" + p.Role.String(), groupPrefix + "tenant:" + p.Tenant},
		Extra: map[string]authenticationv1.ExtraValue{extraPrefix + "method": {p.Method.String()}}}
	if p.Key.Name != "" {
		u.Extra[extraPrefix+"key"] = authenticationv1.ExtraValue{p.Key.String()}
	}
	if p.Scopes != "" {
		u.Extra[extraPrefix+"scopes"] = strings.Fields(string(p.Scopes))
	}
	return u
}

// readJSON reads a JSON body of at most so many bytes, or answers 400, 413 or 415 and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, most int64, into any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		writeError(w, http.StatusUnsupportedMediaType, "Unsupported Media Type", "Want application/json", "unsupported_media_type")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	if err := d.Decode(into); err != nil {
		writeBodyError(w, err)
		return false
	}
	if d.More() {
		writeError(w, http.StatusBadRequest, "Bad Request", "Want one JSON object and nothing behind it", "bad_request")
		return false
	}
	return true
}
