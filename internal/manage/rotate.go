// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

// maxDigests bounds spec.digests, as the CRD does.
const maxDigests = 4

// Rotate gives a key a new token. The previous one works for the overlap; a negative overlap is the key's own. The
// token of a key that is delivered to a Secret is made by the controller, and not shown. request names the request,
// so that a repeat is not another rotation; it may be empty.
func (s *Service) Rotate(ctx context.Context, author authn.Principal, project, name string, overlap time.Duration,
	request Idempotency) (Issued, error) {
	var issued Issued
	id := requestName(author, request.Name)
	o, err := s.edit(ctx, author, Rotate, target{project: project, name: name}, func(o *v1alpha1.ApiKey) (err error) {
		issued, err = s.rotate(o, overlap, id, request.Seen)
		return err
	})
	issued.Key = o
	if err != nil {
		return Issued{Key: o}, err
	}
	if issued.Shown {
		s.claim(ctx, o, issued.Token)
	}
	return issued, nil
}

// rotate puts a new token into a key, or requests one of the controller.
func (s *Service) rotate(o *v1alpha1.ApiKey, overlap time.Duration, request string, seen bool) (Issued, error) {
	if kube.Key(o).Over(s.Now()) {
		return Issued{}, &Problem{
			Kind:    Conflict,
			Message: "The key is revoked or expired, and gets no new token: create another key",
		}
	}
	if o.Annotations == nil {
		o.Annotations = map[string]string{}
	}
	if !kube.Imported(o) {
		o.Annotations[v1alpha1.RotateAnnotation] = cmp.Or(request, s.Now().UTC().Format(time.RFC3339Nano))
		return Issued{}, nil
	}
	lost := rotatedBy(o, request)
	if seen && lost != "" {
		return Issued{}, ErrDone
	}
	token, err := s.Format.Mint(s.Entropy)
	if err != nil {
		return Issued{}, err //nolint:wrapcheck // says what it reads
	}
	if overlap < 0 {
		overlap = kube.Overlap(o)
	}
	issued := Issued{Token: token, Shown: true, PreviousUntil: s.replace(o, token, overlap, lost)}
	if request != "" {
		o.Annotations[v1alpha1.RotationRequestAnnotation] = request + "/" + token.Digest().ID()
	}
	return issued, nil
}

// replace puts a token into spec.digests and returns when the one before it ends. When it replaces one whose response
// was lost, that one goes, and the others stay as they are.
func (s *Service) replace(
	o *v1alpha1.ApiKey,
	token apikey.Token,
	overlap time.Duration,
	lost string,
) (until time.Time) {
	now := s.Now().Truncate(time.Second)
	ends := now.Add(overlap)
	kept := make([]v1alpha1.Digest, 0, maxDigests)
	for _, c := range o.Spec.Digests {
		switch {
		case lost != "" && strings.HasPrefix(c.SHA256, lost), c.ValidUntil != nil && !c.ValidUntil.After(now):
			continue
		case lost == "" && (c.ValidUntil == nil || c.ValidUntil.After(ends)):
			c.ValidUntil = kube.TimePointer(ends)
		}
		if c.ValidUntil != nil && c.ValidUntil.After(until) {
			until = c.ValidUntil.Time
		}
		kept = append(kept, c)
	}
	slices.SortStableFunc(kept, func(a, b v1alpha1.Digest) int { return endOf(a).Compare(endOf(b)) })
	kept = kept[max(0, len(kept)-(maxDigests-1)):] // the ones that end first go, as with the controller's
	o.Spec.Digests = slices.Concat(kept, []v1alpha1.Digest{digest(token)})
	return until
}

func endOf(c v1alpha1.Digest) time.Time {
	if c.ValidUntil == nil {
		return time.Time{}
	}
	return c.ValidUntil.Time
}
