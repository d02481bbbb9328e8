// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// claim records that o owns its digests, at once: the first recorded claim to a digest wins, so nobody who sees the
// digest in the ApiKey takes its token over. A claim that cannot be recorded here is recorded by the controller.
func (s *Service) claim(ctx context.Context, o *v1alpha1.ApiKey) {
	if !kube.Imported(o) {
		return
	}
	for range attempts {
		claimed := o.DeepCopy()
		claimed.Status.Credentials = s.claims(o)
		patch := client.MergeFromWithOptions(o, client.MergeFromWithOptimisticLock{})
		err := s.Client.Status().Patch(ctx, claimed, patch)
		if err == nil {
			*o = *claimed
		}
		if !apierrors.IsConflict(err) || s.Client.Get(ctx, client.ObjectKeyFromObject(o), o) != nil {
			return
		}
	}
}

// claims returns the records of o as they are, without those of digests that are gone, and with its new digests.
func (s *Service) claims(o *v1alpha1.ApiKey) []v1alpha1.Credential {
	var fresh []apikey.Credential
	owned := map[string]bool{}
	for _, c := range kube.Credentials(o) {
		owned[c.Digest.String()] = true
		if c.Unrecorded {
			c.IssuedAt = s.Now()
			fresh = append(fresh, c)
		}
	}
	gone := func(r v1alpha1.Credential) bool { return !owned[r.SHA256] }
	kept := slices.DeleteFunc(slices.Clone(o.Status.Credentials), gone)
	return append(kept, kube.Records(fresh)...)
}
