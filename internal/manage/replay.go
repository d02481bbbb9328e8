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

// rememberRequests is how long a repeated request is recognised as a replay.
const rememberRequests = 24 * time.Hour

// Idempotency names a request, so that a repeat is not done twice.
type Idempotency struct {
	Name string // empty: it has none
	// If Seen, the client is known to have received the first response, so a repeat returns ErrDone. Otherwise the
	// response may have been lost, and a repeat returns a new token instead of that one.
	Seen bool
}

// requestName returns the name of a request within the author's account; "" for none.
func requestName(author authn.Principal, name string) string {
	if name == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(author.Tenant + "\x00" + author.ID() + "\x00" + name))
	return hex.EncodeToString(sum[:16])
}

// sign records on an ApiKey which request created it.
func sign(author authn.Principal, in CreateRequest, o *v1alpha1.ApiKey) error {
	if in.Idempotency.Name == "" {
		return nil
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("digest request: %w", err)
	}
	sum := sha256.Sum256(body)
	o.Labels = map[string]string{v1alpha1.RequestLabel: requestName(author, in.Idempotency.Name)}
	o.Annotations = map[string]string{v1alpha1.RequestDigestAnnotation: hex.EncodeToString(sum[:])}
	return nil
}

// replay finds the key that the same request has created before. Nobody has its token when the response was lost, so
// it is replaced by a new one, which is shown. The caller needs the rights of the key as it is now, not as it was
// created.
func (s *Service) replay(ctx context.Context, c Caller, o *v1alpha1.ApiKey, seen bool) (Issued, error) {
	for try := 1; ; try++ {
		was, err := s.createdBy(ctx, o)
		if was == nil || err != nil {
			return Issued{}, err
		}
		if problem := Authorize(c, Replay, was, was); problem != nil {
			return Issued{}, problem
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
		before := was.DeepCopy()
		was.Spec.Digests = []v1alpha1.Digest{digest(token)}
		err = s.Client.Update(ctx, was)
		if apierrors.IsConflict(err) && try < attempts {
			continue
		}
		s.record(ctx, c.Principal, Replay, before, was, translate("update", err))
		if err != nil {
			return Issued{}, translate("update", err)
		}
		s.claim(ctx, was, token)
		return Issued{Key: was, Token: token, Shown: true}, nil
	}
}

// replayable returns why a request cannot be answered again with the key that it created; nil: it can.
func replayable(was, asked *v1alpha1.ApiKey, seen bool) error {
	switch {
	case seen:
		return ErrDone
	case was.Annotations[v1alpha1.RequestDigestAnnotation] != asked.Annotations[v1alpha1.RequestDigestAnnotation]:
		return &Problem{
			Kind:    Invalid,
			Message: "This Idempotency-Key was used for another request: use a new one for each request",
		}
	case len(was.Spec.Digests) > 1, was.Spec.State == v1alpha1.KeyRevoked:
		return &Problem{Kind: Conflict, Message: "This request has created its key already, and the key was changed since"}
	}
	return nil
}

// createdBy returns the key that the request which signed o has created, nil when it has created none.
func (s *Service) createdBy(ctx context.Context, o *v1alpha1.ApiKey) (*v1alpha1.ApiKey, error) {
	request := o.Labels[v1alpha1.RequestLabel]
	if request == "" {
		return nil, nil //nolint:nilnil // the request has no name
	}
	var list v1alpha1.ApiKeyList
	selected := client.MatchingLabels{v1alpha1.RequestLabel: request}
	if err := s.Client.List(ctx, &list, client.InNamespace(o.Namespace), selected); err != nil {
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

// rotatedBy returns the id of the credential that a rotation of that name has made, "" when there was none.
func rotatedBy(o *v1alpha1.ApiKey, request string) string {
	name, id, _ := strings.Cut(o.Annotations[v1alpha1.RotationRequestAnnotation], "/")
	if request == "" || name != request {
		return ""
	}
	return id
}
