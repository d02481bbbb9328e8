// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/manage"
)

// switching is a command that sets spec.state.
type switching struct {
	use, short, long string
	state            v1alpha1.KeyState
	past             string // what is said afterwards
	there            goal
	secretGoes       bool
}

func (c *cli) suspend() *cobra.Command {
	return c.switching(switching{use: "suspend NAME...", short: "Refuse keys until they are resumed", state: v1alpha1.KeySuspended, past: "suspended", there: notReady,
		long: "Refuse keys until they are resumed. It takes effect at every server within a second. Nothing is deleted, and rotation pauses."})
}

func (c *cli) resume() *cobra.Command {
	return c.switching(switching{use: "resume NAME...", short: "Accept suspended keys again", state: v1alpha1.KeyActive, past: "resumed", there: ready,
		long: "Accept suspended keys again. It takes the grants that making the key takes."})
}

func (c *cli) revoke() *cobra.Command {
	return c.switching(switching{use: "revoke NAME...", short: "Refuse keys for ever", state: v1alpha1.KeyRevoked, past: "revoked", there: notReady, secretGoes: true,
		long: `Refuse keys for ever: there is no way back. It takes effect at every server within a second, also while the controller is away.
The Secret is deleted; the ApiKey stays as a record until it is deleted.`})
}

func (c *cli) switching(s switching) *cobra.Command {
	var out output
	var w wait
	var reason string
	cmd := &cobra.Command{
		Use: s.use, Short: s.short, Long: s.long,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.names,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := errors.Join(out.check(), w.check(cmd)); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			var problems []error
			for _, name := range plain(names) { // each for itself: a typo in one must not keep another alive
				o, err := set(cmd.Context(), k8s, namespace, name, s.state, reason)
				if err == nil {
					c.say("%s/%s %s", namespace, name, s.past)
					err = w.until(cmd.Context(), k8s, o, s.goal(cmd.Context(), k8s))
				}
				if err == nil && out.format != "table" {
					err = c.show(&out, false, *o)
				}
				problems = append(problems, err)
			}
			return errors.Join(problems...)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "for people to read, at most 256 characters")
	out.add(cmd)
	w.add(cmd)
	return cmd
}

// goal is what --wait waits for.
func (s switching) goal(ctx context.Context, k8s client.Client) goal {
	return func(o *v1alpha1.ApiKey) (string, bool) {
		missing, there := s.there(o)
		if !there || !s.secretGoes || o.Status.SecretName == "" {
			return missing, there
		}
		exists, err := hasSecret(ctx, k8s, o)
		if err != nil || exists { // who may not look at Secrets is told so
			return fmt.Sprintf("Secret %s is not deleted yet: %v", o.Status.SecretName, err), false
		}
		return "", true
	}
}

// hasSecret reports whether the Secret that a key was delivered to is still the key's.
func hasSecret(ctx context.Context, k8s client.Client, o *v1alpha1.ApiKey) (bool, error) {
	meta := secretMeta()
	err := k8s.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.Status.SecretName}, meta)
	if err != nil {
		return false, client.IgnoreNotFound(err) //nolint:wrapcheck // says what it gets
	}
	for _, owner := range meta.OwnerReferences {
		if owner.UID == o.UID {
			return true, nil
		}
	}
	return false, nil
}

// set sets the state of a key. A patch races with nobody.
func set(ctx context.Context, k8s client.Client, namespace, name string, state v1alpha1.KeyState, reason string) (*v1alpha1.ApiKey, error) {
	o := &v1alpha1.ApiKey{}
	o.Namespace, o.Name = namespace, name
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{v1alpha1.SuspendedByAnnotation: nil}}, // whoever does it here is an administrator
		"spec":     map[string]any{"state": state, "stateReason": reason},
	})
	if err != nil {
		return nil, fmt.Errorf("patch %s: %w", name, err)
	}
	err = k8s.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsNotFound(err) {
		return nil, absent(namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("patch %s: %w", name, err)
	}
	return o, nil
}

func (c *cli) rotate() *cobra.Command {
	var out output
	var w wait
	var showOnce bool
	var overlap string
	cmd := &cobra.Command{
		Use:   "rotate NAME...",
		Short: "Give keys new tokens",
		Long: `Give keys new tokens. The former ones are accepted for the overlap. The token of a key that is delivered to a Secret is made by the
controller; that of a key of digests is made here with --show-once, printed once, and never stored.`,
		Example: `  kubectl apikey rotate billing --wait
  kubectl apikey rotate laptop --show-once --overlap=1h`,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.names,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := errors.Join(out.check(), w.check(cmd)); err != nil {
				return err
			}
			if overlap != "" && !showOnce {
				return exit{exitUsage, errors.New("--overlap goes with --show-once; that of other keys is spec.rotation.overlap")}
			}
			if showOnce && len(names) > 1 {
				return exit{exitUsage, errors.New("--show-once prints one token: name one key")}
			}
			names = plain(names)
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			if showOnce {
				return c.rotateDigests(cmd.Context(), k8s, namespace, names[0], overlap)
			}
			var problems []error
			for _, name := range names {
				problems = append(problems, c.rotateOne(cmd.Context(), k8s, namespace, name, w, &out))
			}
			return errors.Join(problems...)
		},
	}
	cmd.Flags().BoolVar(&showOnce, "show-once", false, "make the token of a key of digests here, and print it")
	cmd.Flags().StringVar(&overlap, "overlap", "", "with --show-once: for how long the former token is still accepted; default the key's own")
	out.add(cmd)
	w.add(cmd)
	return cmd
}

func (c *cli) rotateOne(ctx context.Context, k8s client.Client, namespace, name string, w wait, out *output) error {
	o, err := get(ctx, k8s, namespace, name)
	if err != nil {
		return err
	}
	if err := c.rotatable(o, w.on); err != nil {
		return err
	}
	request := time.Now().UTC().Format(time.RFC3339Nano)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.RotateAnnotation: request}}})
	if err != nil {
		return fmt.Errorf("patch %s: %w", name, err)
	}
	if err := k8s.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("patch %s: %w", name, err)
	}
	if err := w.until(ctx, k8s, o, rotated(request)); err != nil {
		return err
	}
	done := "is asked for"
	if w.on {
		done = "is done"
	}
	c.say("%s/%s: rotation %s; the former token is accepted for %s", namespace, name, done, kube.Overlap(o))
	if out.format != "table" {
		return c.show(out, false, *o)
	}
	return nil
}

// rotatable returns why the controller will not rotate a key.
func (c *cli) rotatable(o *v1alpha1.ApiKey, waits bool) error {
	if kube.Imported(o) {
		return fmt.Errorf("%s has digests, whose tokens the controller does not know: rotate it with --show-once", o.Name)
	}
	switch reason := apikey.UsableFromAnywhere(kube.Key(o), apikey.Credential{Phase: apikey.Current}, time.Now()); reason {
	case denial.Deleted, denial.Revoked:
		return fmt.Errorf("%s is %s permanently: create another key", o.Name, reason)
	case denial.Expired:
		return fmt.Errorf("%s has expired: move spec.expiresAt, or make another key", o.Name)
	case denial.Suspended:
		if waits {
			return fmt.Errorf("%s is suspended, and rotates when it is resumed: resume it first, or leave out --wait", o.Name)
		}
		c.say("%s/%s is suspended: it rotates when it is resumed.", o.Namespace, o.Name)
	default:
	}
	return nil
}

// everywhere says that a Namespace belongs to whoever asks: the API server decides what they may do in it.
type everywhere struct{ namespace string }

// Projects implements manage.Tenants.
func (e everywhere) Projects(string) []authn.Project {
	return []authn.Project{{Name: e.namespace, Tenant: e.namespace}}
}

func (c *cli) rotateDigests(ctx context.Context, k8s client.Client, namespace, name, overlap string) error {
	desk := &manage.Service{Client: k8s, Tenants: everywhere{namespace}, Format: c.format, Entropy: rand.Reader, Now: time.Now}
	within := time.Duration(-1)
	if overlap != "" {
		var err error
		if within, err = span(overlap); err != nil {
			return exit{exitUsage, fmt.Errorf("--overlap=%s: %w", overlap, err)}
		}
	}
	o, err := get(ctx, k8s, namespace, name)
	if err != nil {
		return err
	}
	if !kube.Imported(o) {
		return fmt.Errorf("%s is delivered to Secret %s, and its token is made by the controller: leave out --show-once", name, cmp.Or(o.Status.SecretName, name))
	}
	made, err := desk.Rotate(ctx, authn.Principal{Role: authn.Admin, Tenant: namespace}, namespace, name, within, manage.Idempotency{})
	if err != nil {
		return fmt.Errorf("rotate %s: %w", name, err)
	}
	c.print("%s", made.Token.Reveal())
	c.say("This is the only time that the token is shown. Keep it where secrets are kept.")
	if !made.PreviousUntil.IsZero() {
		c.say("The former token is accepted until %s.", made.PreviousUntil.UTC().Format(time.RFC3339))
	}
	return nil
}
