// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
)

// suspension is who suspended a key over REST or on the page, in the annotation SuspendedByAnnotation. It holds for
// one generation of the spec, so that a record does not outlive a change by kubectl, which does not update it.
type suspension struct {
	generation int64
	role       authn.Role // of the author at that time
	id         string     // of the account
}

// String returns the value of the annotation: generation, role and id, separated by slashes.
func (s suspension) String() string { return fmt.Sprintf("%d/%s/%s", s.generation, s.role, s.id) }

// suspensionOf returns who suspended a key, and false when that is not known.
func suspensionOf(o *v1alpha1.ApiKey) (suspension, bool) {
	parts := strings.SplitN(o.Annotations[v1alpha1.SuspendedByAnnotation], "/", 3)
	if len(parts) != 3 || o.Spec.State != v1alpha1.KeySuspended {
		return suspension{}, false
	}
	generation, err := strconv.ParseInt(parts[0], 10, 64)
	s := suspension{generation: generation, role: authn.ParseRole(parts[1]), id: parts[2]}
	return s, err == nil && generation == o.Generation && s.role != authn.NoRole
}

// resumes reports whether an action accepts a suspended key again.
func resumes(a Action, before, after *v1alpha1.ApiKey) bool {
	changes := a == Change || a == Resume
	return changes && before.Spec.State == v1alpha1.KeySuspended && after.Spec.State != v1alpha1.KeySuspended &&
		after.Spec.State != v1alpha1.KeyRevoked
}

// mayResume reports whether a caller may lift the suspension of a key: an admin, or the account that suspended it, if
// its role was not stronger then than it is now.
func mayResume(p authn.Principal, o *v1alpha1.ApiKey) bool {
	if p.Role == authn.Admin {
		return true
	}
	s, known := suspensionOf(o)
	return known && s.id == p.ID() && s.role <= p.Role
}

// recordSuspension brings the record of who suspended a key up to date with a change to it that is about to be
// written. The stronger author stays on record: an admin's suspension of a key that a member has suspended is the
// admin's.
func recordSuspension(p authn.Principal, before, after *v1alpha1.ApiKey) {
	if after.Spec.State != v1alpha1.KeySuspended {
		delete(after.Annotations, v1alpha1.SuspendedByAnnotation)
		return
	}
	by := suspension{role: p.Role, id: p.ID()}
	if before.Spec.State == v1alpha1.KeySuspended {
		was, known := suspensionOf(before)
		switch {
		case !known: // by kubectl, which an admin of the cluster uses
			delete(after.Annotations, v1alpha1.SuspendedByAnnotation)
			return
		case was.role >= p.Role:
			by = was
		}
	}
	by.generation = before.Generation
	if !equality.Semantic.DeepEqual(before.Spec, after.Spec) { // the API server counts changes of the spec
		by.generation++
	}
	if after.Annotations == nil {
		after.Annotations = map[string]string{}
	}
	after.Annotations[v1alpha1.SuspendedByAnnotation] = by.String()
}
