// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const (
	// UsedInterval is how often a key's status.lastUsedTime is written at most.
	UsedInterval = time.Hour

	maxNote = 1024 // of an Event
)

// MarkUsed writes to a key's status when it was last used, unless that was done within the hour. It reports
// whether it wrote.
func (s *Service) MarkUsed(ctx context.Context, project, name, uid string, at time.Time) (bool, error) {
	o, err := s.same(ctx, project, name, uid)
	if o == nil || err != nil {
		return false, err
	}
	if last := o.Status.LastUsedTime; last != nil && at.Sub(last.Time) < UsedInterval {
		return false, nil
	}
	patch, err := json.Marshal(
		map[string]any{
			"metadata": map[string]any{"uid": uid},
			"status":   map[string]any{"lastUsedTime": metav1.NewTime(at)},
		},
	)
	if err != nil {
		return false, fmt.Errorf("patch ApiKey: %w", err)
	}
	return true, translate("patch", s.Client.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, patch)))
}

// same returns the key of that name if it still is the one with that UID, else nil.
func (s *Service) same(ctx context.Context, project, name, uid string) (*v1alpha1.ApiKey, error) {
	var o v1alpha1.ApiKey
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: project, Name: name}, &o); err != nil {
		return nil, translate("get", client.IgnoreNotFound(err))
	}
	if string(o.UID) != uid {
		return nil, nil //nolint:nilnil // another key of the same name
	}
	return &o, nil
}

// PreviousToken is a replaced token that is still accepted.
type PreviousToken struct {
	Credential   string // id
	Since, Until time.Time
}

// PreviousTokens returns the replaced tokens of a key that are still accepted.
func (s *Service) PreviousTokens(ctx context.Context, project, name, uid string) (out []PreviousToken, err error) {
	o, err := s.same(ctx, project, name, uid)
	if o == nil || err != nil {
		return nil, err
	}
	return PreviousTokensOf(o), nil
}

// PreviousTokensOf returns the replaced tokens of a key that have an end before the key's own.
func PreviousTokensOf(o *v1alpha1.ApiKey) (out []PreviousToken) {
	end := kube.Key(o).ExpiresAt
	for _, c := range kube.Credentials(o) {
		if !c.ValidUntil.IsZero() && !c.ValidUntil.Equal(end) {
			out = append(out, PreviousToken{c.Digest.ID(), c.ValidUntil.Add(-kube.Overlap(o)), c.ValidUntil})
		}
	}
	return out
}

// Event is something that was told about a key.
type Event struct {
	At           time.Time
	Reason, Note string
	Warning      bool
}

// maxEvents bounds the Events that are shown.
const maxEvents = 20

// Events returns what the cluster remembers to have been told about a key, the latest first.
func (s *Service) Events(ctx context.Context, project, uid string) ([]Event, error) {
	var list eventsv1.EventList
	if err := s.Client.List(
		ctx,
		&list,
		client.InNamespace(project),
		client.MatchingFields{"regarding.uid": uid},
		client.Limit(chunk),
	); err != nil {
		return nil, fmt.Errorf("list Events: %w", err)
	}
	out := make([]Event, 0, len(list.Items))
	for _, e := range list.Items {
		at := e.EventTime.Time
		if e.Series != nil {
			at = e.Series.LastObservedTime.Time
		}
		out = append(out, Event{At: at, Reason: e.Reason, Note: e.Note, Warning: e.Type == corev1.EventTypeWarning})
	}
	slices.SortFunc(out, func(a, b Event) int { return b.At.Compare(a.At) })
	return out[:min(maxEvents, len(out))], nil
}

// Manifest returns what people have written of a key, as YAML.
func Manifest(o *v1alpha1.ApiKey) (string, error) {
	spec := o.Spec
	text, err := yaml.Marshal(
		map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(),
			"kind":       "ApiKey",
			"metadata":   map[string]any{"name": o.Name, "namespace": o.Namespace},
			"spec":       spec,
		},
	)
	if err != nil {
		return "", fmt.Errorf("write ApiKey: %w", err)
	}
	return string(text), nil
}

// Warn makes an Event of what a person should look at.
func (s *Service) Warn(ctx context.Context, project, name, uid, reason, note string) error {
	if len(note) > maxNote {
		note = note[:maxNote]
	}
	err := s.Client.Create(ctx, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:    project,
			GenerateName: name + "-",
		},
		EventTime:           metav1.NewMicroTime(s.Now()),
		Type:                corev1.EventTypeWarning,
		Reason:              reason,
		Action:              "Observe",
		Note:                note,
		ReportingController: "auth.kaana.com/server",
		ReportingInstance:   "server",
		Regarding: corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(),
			Kind:       "ApiKey",
			Namespace:  project,
			Name:       name,
			UID:        types.UID(uid),
		},
	})
	if err != nil {
		return fmt.Errorf("create Event: %w", err)
	}
	return nil
}
