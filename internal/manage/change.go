// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
)

// attempts bounds how often a write is tried that others race with.
const attempts = 4

// errStale is the problem of a caller that has read an earlier version of the key.
var errStale = &Problem{Kind: Stale, Message: "The key has changed since you read it: read it again"}

// Change changes the spec of a key that its author may see. change may be called again. With a version the key must
// still be that one.
func (s *Service) Change(ctx context.Context, author authn.Principal, project, name, version string,
	change func(*v1alpha1.ApiKeySpec)) (*v1alpha1.ApiKey, error) {
	return s.edit(ctx, author, Change, target{project, name, version}, func(o *v1alpha1.ApiKey) error {
		change(&o.Spec)
		return nil
	})
}

// Suspend refuses a key until it is resumed. Callers that can see the key and may change keys may suspend it,
// whatever its rights.
func (s *Service) Suspend(
	ctx context.Context,
	author authn.Principal,
	project, name, reason string,
) (*v1alpha1.ApiKey, error) {
	o, err := s.edit(ctx, author, Suspend, target{project: project, name: name}, func(o *v1alpha1.ApiKey) error {
		if o.Spec.State == v1alpha1.KeyRevoked {
			return errUnchanged
		}
		o.Spec.State, o.Spec.StateReason = v1alpha1.KeySuspended, reason
		return nil
	})
	var problem *Problem
	if errors.As(err, &problem) && problem.Kind == Conflict { // others keep changing the key: refuse it all the same
		return s.stop(ctx, author, Suspend, target{project: project, name: name}, v1alpha1.KeySuspended, reason)
	}
	return o, err
}

// Revoke refuses a key permanently. It depends on nothing but the API server, and races with no other change.
func (s *Service) Revoke(
	ctx context.Context,
	author authn.Principal,
	project, name, reason string,
) (*v1alpha1.ApiKey, error) {
	return s.stop(ctx, author, Revoke, target{project: project, name: name}, v1alpha1.KeyRevoked, reason)
}

// target names a key, and the version that it must still have; empty: any.
type target struct{ project, name, version string }

// errUnchanged ends an edit without a write.
var errUnchanged = errors.New("unchanged")

// edit reads a key, changes it, and writes it if it is still as it was read and the caller may do that.
func (s *Service) edit(ctx context.Context, author authn.Principal, a Action, at target,
	change func(*v1alpha1.ApiKey) error) (*v1alpha1.ApiKey, error) {
	c, err := s.changer(ctx, author, a)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		before, err := s.get(ctx, c, at.project, at.name)
		if err != nil {
			return nil, err
		}
		if at.version != "" && at.version != Version(before) {
			return nil, errStale
		}
		after := before.DeepCopy()
		if err := change(after); err != nil {
			if errors.Is(err, errUnchanged) {
				return before, nil
			}
			return nil, err
		}
		if problem := Authorize(c, a, before, after); problem != nil {
			return nil, problem
		}
		recordSuspension(author, before, after)
		err = s.Client.Update(ctx, after)
		if apierrors.IsConflict(err) && try < attempts {
			continue
		}
		err = translate("update", err)
		s.record(ctx, author, a, before, after, err)
		return after, err
	}
}

// stop sets the state of a key by a patch, whatever else changes it at the same time.
func (s *Service) stop(ctx context.Context, author authn.Principal, a Action, at target, state v1alpha1.KeyState,
	reason string) (*v1alpha1.ApiKey, error) {
	c := s.tenantCaller(author)
	o, err := s.get(ctx, c, at.project, at.name)
	if err != nil || o.Spec.State == v1alpha1.KeyRevoked {
		return o, err
	}
	after := o.DeepCopy()
	after.Spec.State, after.Spec.StateReason = state, reason
	if problem := Authorize(c, a, o, after); problem != nil {
		return nil, problem
	}
	text, err := json.Marshal(map[string]any{"spec": map[string]any{"state": state, "stateReason": reason}})
	if err != nil {
		return nil, fmt.Errorf("patch ApiKey: %w", err)
	}
	before := o.DeepCopy()
	err = translate("patch", s.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, text)))
	s.record(ctx, author, a, before, after, err) // not what others have changed meanwhile, which o has too
	return o, err
}

// Delete deletes a key, with its Secret. With a version the key must still be that one.
func (s *Service) Delete(ctx context.Context, author authn.Principal, project, name, version string) error {
	c := s.tenantCaller(author)
	for try := 1; ; try++ {
		o, err := s.get(ctx, c, project, name)
		if err != nil {
			return err
		}
		if problem := Authorize(c, Delete, o, nil); problem != nil {
			return problem
		}
		if version != "" && version != Version(o) {
			return errStale
		}
		err = s.Client.Delete(ctx, o, client.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion})
		if apierrors.IsConflict(err) && try < attempts {
			continue
		}
		if apierrors.IsNotFound(err) { // another client was faster
			return nil
		}
		err = translate("delete", err)
		s.record(ctx, author, Delete, o, nil, err)
		return err
	}
}
