// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	// rememberRequests is for how long a repeat is taken for one.
	rememberRequests = 24 * time.Hour
)

// nameOf returns the name of a request: that which its author gave it, within their account; "" for none.
func nameOf(author authn.Principal, once string) string {
	if once == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(author.Tenant + "\x00" + author.ID() + "\x00" + once))
	return hex.EncodeToString(sum[:16])
}

// sign notes on an ApiKey which request made it.
func (s *Service) sign(author authn.Principal, in CreateRequest, o *v1alpha1.ApiKey) error {
	if in.Idempotency.Name == "" {
		return nil
	}
	asked, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("digest request: %w", err)
	}
	sum := sha256.Sum256(asked)
	o.Labels = map[string]string{v1alpha1.RequestLabel: nameOf(author, in.Idempotency.Name)}
	o.Annotations = map[string]string{v1alpha1.RequestDigestAnnotation: hex.EncodeToString(sum[:])}
	return nil
}

// repeated finds the key that the same request has made before. Its token is not known any more: when
// the answer was lost, nobody has it. So it is replaced by a new one, which is shown.
func (s *Service) repeated(ctx context.Context, o *v1alpha1.ApiKey, seen bool) (Issued, error) {
	for try := 1; ; try++ {
		was, err := s.madeBy(ctx, o)
		if was == nil || err != nil {
			return Issued{}, err
		}
		if problem := replayable(was, o, seen); problem != nil {
			return Issued{}, problem
		}
		if len(was.Spec.Digests) == 0 {
			return Issued{Key: was}, nil
		}
		token, err := s.Format.Mint(s.Entropy)
		if err != nil {
			return Issued{}, err
		}
		was.Spec.Digests = []v1alpha1.Digest{digest(token)}
		err = s.Client.Update(ctx, was)
		if apierrors.IsConflict(err) && try < attempts {
			continue
		}
		return Issued{Key: was, Token: token, Shown: true}, translate("update", err)
	}
}

// replayable returns why a request cannot be answered again with the key that it has made; nil: it can.
func replayable(was, asked *v1alpha1.ApiKey, seen bool) error {
	switch {
	case seen:
		return ErrDone
	case was.Annotations[v1alpha1.RequestDigestAnnotation] != asked.Annotations[v1alpha1.RequestDigestAnnotation]:
		return &Problem{Kind: Invalid, Message: "This Idempotency-Key was used for another request: give each request its own"}
	case len(was.Spec.Digests) > 1, was.Spec.State == v1alpha1.KeyRevoked:
		return &Problem{Kind: Conflict, Message: "This request has made its key already, and the key was changed since"}
	}
	return nil
}

// madeBy returns the key that the request which signed o has made, nil when it has made none.
func (s *Service) madeBy(ctx context.Context, o *v1alpha1.ApiKey) (*v1alpha1.ApiKey, error) {
	request := o.Labels[v1alpha1.RequestLabel]
	if request == "" {
		return nil, nil //nolint:nilnil // the request has no name
	}
	var list v1alpha1.ApiKeyList
	if err := s.Client.List(ctx, &list, client.InNamespace(o.Namespace), client.MatchingLabels{v1alpha1.RequestLabel: request}); err != nil {
		return nil, translate("list", err)
	}
	for i := range list.Items {
		was := &list.Items[i]
		if was.CreationTimestamp.Add(rememberRequests).Before(s.Now()) {
			continue
		}
		return was, nil
	}
	return nil, nil //nolint:nilnil // none
}

// rotatedBy returns the id of the credential that a rotation of that name has made, "" when there was
// none.
func rotatedBy(o *v1alpha1.ApiKey, request string) string {
	name, id, _ := strings.Cut(o.Annotations[v1alpha1.RotationRequestAnnotation], "/")
	if request == "" || name != request {
		return ""
	}
	return id
}
