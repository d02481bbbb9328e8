// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// claim records that o owns its digests, at once: the first recorded claim to a digest wins, so another author cannot
// take over the token by importing its digest. A claim that cannot be recorded here is recorded by the controller.
//
// Only the token that was just drawn is claimed: nobody else can have had its digest before. Other digests of the key
// may be another key's, which the controller knows.
func (s *Service) claim(ctx context.Context, o *v1alpha1.ApiKey, token apikey.Token) {
	for range attempts {
		claimed := o.DeepCopy()
		claimed.Status.Credentials = s.claims(o, token.Digest())
		patch := client.MergeFromWithOptions(o, client.MergeFromWithOptimisticLock{})
		err := s.Client.Status().Patch(ctx, claimed, patch)
		if err == nil {
			*o = *claimed
		}
		var now v1alpha1.ApiKey
		if !apierrors.IsConflict(err) || s.Client.Get(ctx, client.ObjectKeyFromObject(o), &now) != nil {
			return
		}
		*o = now
	}
}

// claims returns the records of o as they are, without those of digests that are gone, and with one of a new digest.
func (s *Service) claims(o *v1alpha1.ApiKey, token apikey.Digest) []v1alpha1.Credential {
	var fresh []apikey.Credential
	owned := map[string]bool{}
	for _, c := range kube.Credentials(o) {
		owned[c.Digest.String()] = true
		if c.Unrecorded && c.Digest == token {
			c.IssuedAt = s.claimTime(o)
			fresh = append(fresh, c)
		}
	}
	gone := func(r v1alpha1.Credential) bool { return !owned[r.SHA256] }
	kept := slices.DeleteFunc(slices.Clone(o.Status.Credentials), gone)
	return append(kept, kube.Records(fresh)...)
}

// claimTime returns the time of a new claim: now, but not before the key and its other claims, as the policy of the
// server's account demands. Clocks differ a little, and the controller rounds its claims up.
func (s *Service) claimTime(o *v1alpha1.ApiKey) time.Time {
	at := s.Now()
	if o.CreationTimestamp.After(at) {
		at = o.CreationTimestamp.Time
	}
	for _, r := range o.Status.Credentials {
		if r.IssuedAt.After(at) {
			at = r.IssuedAt.Time
		}
	}
	return at
}
