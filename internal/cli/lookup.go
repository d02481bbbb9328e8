// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/keyring"
)

// verification is the result of verifying a token as the server does, and what the cluster knows about the token.
type verification struct {
	principal authn.Principal
	denied    authn.Denial
	keys      []v1alpha1.ApiKey // that have the digest of the token
	limited   string            // the only Namespace that was searched; empty: all were
}

// foreign reports whether the token is none of the cluster's keys but may be a token of an issuer.
func (v verification) foreign(token string) bool {
	return len(v.keys) == 0 && authn.KindOf(token) != authn.KindOpaque
}

// key returns the ApiKey that the token belongs to, and an empty one if there is none.
func (v verification) key() v1alpha1.ApiKey {
	for i := range v.keys {
		if v.keys[i].Namespace == v.principal.Key.Namespace && v.keys[i].Name == v.principal.Key.Name {
			return v.keys[i]
		}
	}
	return v1alpha1.ApiKey{}
}

// verifyToken finds the ApiKeys that have the digest of a token, and verifies the token as a server without issuers.
func (c *cli) verifyToken(ctx context.Context, a *attempt, token string) (verification, error) {
	k8s, namespace, err := c.connect()
	if err != nil {
		return verification{}, err
	}
	var out verification
	if err := c.findKeys(ctx, k8s, namespace, token, &out); err != nil {
		return verification{}, err
	}
	tenants := map[string]string{}
	for i := range out.keys {
		ns := out.keys[i].Namespace
		if tenants[ns], err = tenantOf(ctx, k8s, ns); err != nil {
			c.notef("The tenant of Namespace %s cannot be read; its own name is used: %v", ns, err)
			tenants[ns] = "(unknown)"
		}
	}
	index := keyring.New(0)
	index.Load(func(yield func(*v1alpha1.ApiKey) bool) {
		for i := range out.keys {
			if !yield(&out.keys[i]) {
				return
			}
		}
	}, tenants)
	verifier := &authn.Verifier{Format: c.format, Keys: index, Now: c.now}
	if out.principal, out.denied, err = verifier.Verify(ctx, token, a.address); err != nil {
		return verification{}, err //nolint:wrapcheck // says what is undecided
	}
	if !out.denied.Denied() {
		out.denied = a.permit(out.principal)
	}
	return out, nil
}

// findKeys finds the ApiKeys that have the digest of a token, in all Namespaces or, without that permission, in one.
func (c *cli) findKeys(ctx context.Context, k8s client.Reader, namespace, token string, out *verification) error {
	digest, ok := c.format.Digest(token)
	if !ok {
		return nil
	}
	visit := func(o *v1alpha1.ApiKey) {
		for _, cred := range kube.Credentials(o) {
			if cred.Digest == digest {
				out.keys = append(out.keys, *o)
			}
		}
	}
	err := each(ctx, k8s, visit)
	if !apierrors.IsForbidden(err) {
		return err
	}
	out.limited = namespace
	c.notef("You may not list ApiKeys in all Namespaces: only %s is searched. -n selects another.", namespace)
	return each(ctx, k8s, visit, client.InNamespace(namespace))
}
