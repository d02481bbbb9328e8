// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/http"
	"slices"
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

// TokenReview is the webhook token authenticator of kube-apiserver (authentication.k8s.io/v1 and v1beta1; it answers
// in the version of the request). It does not use controller-runtime's webhook, which answers an error with a denial
// that kube-apiserver then caches. kube-apiserver repeats a request that is answered with a plain 503.
type TokenReview struct {
	Auth *Authenticator
	// UsernamePrefix is put before the usernames of accounts. It must not start with "system:".
	UsernamePrefix string
	// Audiences are those that the tokens are valid for, besides the API server itself, which needs none. A component
	// that reviews tokens for an audience of its own accepts them only if it is listed.
	Audiences []string
	// RequireCertificate rejects requests without a verified client certificate.
	RequireCertificate bool
}

// Mount adds the endpoint to a mux.
func (t *TokenReview) Mount(mux *http.ServeMux) {
	MountMethod(mux, http.MethodPost, "/webhook/tokenreview", t.ServeHTTP)
}

// ServeHTTP implements http.Handler.
func (t *TokenReview) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	review, ok := t.read(w, r)
	if !ok {
		return
	}
	at := Attempt{Endpoint: EndpointTokenReview, Token: review.Spec.Token, Route: r.Pattern, Peer: r.RemoteAddr}
	if strings.ContainsAny(review.Spec.Token, " ,\r\n\t") {
		at.Denied = authn.Deny(denial.Malformed)
	}
	p, denied, err := t.Auth.Authenticate(r.Context(), at)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable) // without Retry-After: repeated at once
		return
	}
	audiences := review.Spec.Audiences
	review.Spec, review.ObjectMeta = authenticationv1.TokenReviewSpec{}, metav1.ObjectMeta{}
	review.Status = authenticationv1.TokenReviewStatus{}
	user := t.userInfo(&p)
	if strings.HasPrefix(user.Username, "system:") { // whatever the prefix is, because it could be cluster-admin
		denied = authn.Deny(denial.Reserved)
	}
	if denied.Denied() {
		review.Status.Error = string(denied.Code())
	} else {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: user, Audiences: t.both(audiences)}
	}
	writeJSON(w, http.StatusOK, review)
}

// both returns the audiences that are requested and configured, nil for none. kube-apiserver takes none for its own,
// so that kubectl works with a key; another component takes none for a token that is not for it.
func (t *TokenReview) both(requested []string) (out []string) {
	for _, audience := range requested {
		if slices.Contains(t.Audiences, audience) {
			out = append(out, audience)
		}
	}
	return out
}

// read reads the TokenReview of a request. If it is not valid, read writes the response and returns false.
func (t *TokenReview) read(w http.ResponseWriter, r *http.Request) (review authenticationv1.TokenReview, ok bool) {
	if t.RequireCertificate && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		writeError(w, http.StatusForbidden, "This door wants the client certificate of the API server",
			"certificate_required")
		return review, false
	}
	if !readJSON(w, r, maxReviewBytes, &review) { // v1beta1 has the same fields
		return review, false
	}
	v1 := authenticationv1.SchemeGroupVersion.String()
	if review.Kind != "TokenReview" || review.APIVersion != v1 && review.APIVersion != v1+"beta1" {
		writeError(w, http.StatusBadRequest, "Want a TokenReview of authentication.k8s.io/v1 or v1beta1", "bad_request")
		return review, false
	}
	return review, true
}

// userInfo returns a principal as a Kubernetes user.
func (t *TokenReview) userInfo(p *authn.Principal) authenticationv1.UserInfo {
	name := p.Username()
	if p.Account.Username != "" {
		name = t.UsernamePrefix + name
	}
	u := authenticationv1.UserInfo{
		Username: name,
		UID:      p.ID(),
		Groups:   []string{groupPrefix + "role:" + p.Role.String(), groupPrefix + "tenant:" + p.Tenant},
		Extra:    map[string]authenticationv1.ExtraValue{extraPrefix + "method": {p.Method.String()}},
	}
	if p.Key.Name != "" {
		u.Extra[extraPrefix+"key"] = authenticationv1.ExtraValue{p.Key.String()}
	}
	if p.Scopes != "" {
		u.Extra[extraPrefix+"scopes"] = strings.Fields(string(p.Scopes))
	}
	return u
}
