// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	attempts       = 4 // at a write that others race with
	maxCredentials = 4 // in spec.digests
)

// Change changes a key that its author may see, as change says, which may be asked again. With a version
// the key must still be that one. It may not exceed its author afterwards.
func (s *Service) Change(ctx context.Context, author authn.Principal, project, name, version string, change func(*v1alpha1.ApiKeySpec)) (*v1alpha1.ApiKey, error) {
	return s.edit(ctx, author, project, name, version, func(o *v1alpha1.ApiKey) error {
		was := o.Spec.State
		change(&o.Spec)
		if was == v1alpha1.KeySuspended && o.Spec.State == v1alpha1.KeyActive {
			if author.Role < authn.Admin && o.Annotations[v1alpha1.SuspendedByAnnotation] != author.ID() {
				return &Problem{Kind: Forbidden, Message: "Somebody else has suspended this key: ask an admin to resume it"}
			}
			delete(o.Annotations, v1alpha1.SuspendedByAnnotation)
		}
		return s.within(ctx, author, o)
	})
}

// edit reads a key, changes it, and writes it if it is still as it was read.
func (s *Service) edit(ctx context.Context, author authn.Principal, project, name, version string, change func(*v1alpha1.ApiKey) error) (*v1alpha1.ApiKey, error) {
	for try := 1; ; try++ {
		o, err := s.Get(ctx, author, project, name)
		if err != nil {
			return nil, err
		}
		if version != "" && version != Version(o) {
			return nil, &Problem{Kind: Stale, Message: "The key has changed since you read it: read it again"}
		}
		if err := change(o); err != nil {
			return nil, err
		}
		err = s.Client.Update(ctx, o)
		if apierrors.IsConflict(err) && try < attempts {
			continue
		}
		return o, translate("update", err)
	}
}

// Suspend refuses a key until it is made Active again by a Change. It is never in anybody's way: whoever may
// see a key and change keys may suspend it.
func (s *Service) Suspend(ctx context.Context, author authn.Principal, project, name, reason string) (*v1alpha1.ApiKey, error) {
	return s.stop(ctx, author, project, name, v1alpha1.KeySuspended, reason)
}

// Revoke refuses a key for good. It depends on nothing but the API server, and races with nobody.
func (s *Service) Revoke(ctx context.Context, author authn.Principal, project, name, reason string) (*v1alpha1.ApiKey, error) {
	return s.stop(ctx, author, project, name, v1alpha1.KeyRevoked, reason)
}

func (s *Service) stop(ctx context.Context, author authn.Principal, project, name string, state v1alpha1.KeyState, reason string) (*v1alpha1.ApiKey, error) {
	o, err := s.Get(ctx, author, project, name)
	if err != nil || o.Spec.State == v1alpha1.KeyRevoked {
		return o, err
	}
	patch := map[string]any{"spec": map[string]any{"state": state, "stateReason": reason}}
	if state == v1alpha1.KeySuspended && o.Spec.State != v1alpha1.KeySuspended {
		patch["metadata"] = map[string]any{"annotations": map[string]string{v1alpha1.SuspendedByAnnotation: author.ID()}}
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("patch ApiKey: %w", err)
	}
	return o, translate("patch", s.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, text)))
}

// Delete deletes a key, with its Secret. With a version the key must still be that one.
func (s *Service) Delete(ctx context.Context, author authn.Principal, project, name, version string) error {
	for try := 1; ; try++ {
		o, err := s.Get(ctx, author, project, name)
		if err != nil {
			return err
		}
		if version != "" && version != Version(o) {
			return &Problem{Kind: Stale, Message: "The key has changed since you read it: read it again"}
		}
		err = s.Client.Delete(ctx, o, client.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion})
		if apierrors.IsConflict(err) && try < attempts {
			continue
		}
		return translate("delete", client.IgnoreNotFound(err))
	}
}

// Rotate gives a key a new token. The former one is accepted for the overlap; a negative overlap is the
// key's own. The token of a key that is delivered to a Secret is made by the controller, and not shown. once
// names the request, so that a repeat is not another rotation; it may be empty.
func (s *Service) Rotate(ctx context.Context, author authn.Principal, project, name string, overlap time.Duration, once Idempotency) (Issued, error) {
	var made Issued
	request := nameOf(author, once.Name)
	o, err := s.edit(ctx, author, project, name, "", func(o *v1alpha1.ApiKey) error {
		if kube.Key(o).Over(s.Now()) {
			return &Problem{Kind: Conflict, Message: "The key is revoked or expired: it gets no token any more"}
		}
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		if !kube.Imported(o) {
			made = Issued{}
			o.Annotations[v1alpha1.RotateAnnotation] = cmp.Or(request, s.Now().UTC().Format(time.RFC3339Nano))
			return nil
		}
		if once.Seen && rotatedBy(o, request) != "" {
			return ErrDone
		}
		if err := s.within(ctx, author, o); err != nil { // its token is handed to them
			return err
		}
		token, err := s.Format.Mint(s.Entropy)
		if err != nil {
			return err
		}
		if overlap < 0 {
			overlap = kube.Overlap(o)
		}
		made = Issued{Token: token, Shown: true, PreviousUntil: s.replace(o, token, overlap, rotatedBy(o, request))}
		if request != "" {
			o.Annotations[v1alpha1.RotationRequestAnnotation] = request + "/" + token.Digest().ID()
		}
		return nil
	})
	made.Key = o
	return made, err
}

// replace puts a token into spec.digests and returns when the one before it ends. When it stands for one
// whose answer was lost, that one goes, and the others stay as they are.
func (s *Service) replace(o *v1alpha1.ApiKey, token apikey.Token, overlap time.Duration, lost string) (until time.Time) {
	now := s.Now().Truncate(time.Second)
	ends := now.Add(overlap)
	kept := make([]v1alpha1.Digest, 0, maxCredentials)
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
	kept = kept[max(0, len(kept)-(maxCredentials-1)):] // the ones that end first, as with the controller's
	kept = append(kept, digest(token))
	o.Spec.Digests = kept
	return until
}

func endOf(c v1alpha1.Digest) time.Time {
	if c.ValidUntil == nil {
		return time.Time{}
	}
	return c.ValidUntil.Time
}
