// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// stateChange is a command that sets spec.state.
type stateChange struct {
	use, short, long string
	state            v1alpha1.KeyState
	done             string // the verb of the report
	goal             func(context.Context, client.Reader) goal
}

func (c *cli) suspend() *cobra.Command {
	return c.changeState(stateChange{
		use: "suspend NAME...", short: "Refuse keys until they are resumed",
		long: `Refuse keys until they are resumed. Every server refuses them within a second. Nothing is deleted,
and rotation pauses.`,
		state: v1alpha1.KeySuspended, done: "suspended",
		goal: func(context.Context, client.Reader) goal { // an expired key stays expired, which refuses it too
			return inForce(v1alpha1.ReasonSuspended, v1alpha1.ReasonExpired)
		},
	})
}

func (c *cli) resume() *cobra.Command {
	return c.changeState(stateChange{
		use: "resume NAME...", short: "Accept suspended keys again",
		long:  `Accept suspended keys again. You need the same grants as for creating the keys.`,
		state: v1alpha1.KeyActive, done: "resumed",
		goal: func(context.Context, client.Reader) goal { return usable },
	})
}

func (c *cli) revoke() *cobra.Command {
	return c.changeState(stateChange{
		use: "revoke NAME...", short: "Revoke keys permanently",
		long: `Revoke keys permanently; this cannot be undone. Every server refuses them within a second, even
while the controller is down. The Secret is deleted; the ApiKey stays as a record until you delete
it.`,
		state: v1alpha1.KeyRevoked, done: "revoked",
		goal: func(ctx context.Context, k8s client.Reader) goal {
			return secretDeleted(ctx, k8s, inForce(v1alpha1.ReasonRevoked))
		},
	})
}

func (c *cli) changeState(s stateChange) *cobra.Command {
	var out output
	var w wait
	var reason string
	cmd := &cobra.Command{
		Use: s.use, Short: s.short, Long: s.long,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeNames,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := errors.Join(out.check(), w.check(cmd)); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			var problems []error
			for _, name := range bareNames(names) { // a typo in one name must not keep another key alive
				o, err := setState(cmd.Context(), k8s, namespace, name, s.state, reason)
				if err == nil {
					c.notef("%s/%s %s", namespace, name, s.done)
					err = w.until(cmd.Context(), k8s, o, s.goal(cmd.Context(), k8s))
				}
				if err == nil && out.format != formatTable {
					err = c.show(&out, false, *o)
				}
				problems = append(problems, err)
			}
			return errors.Join(problems...)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people to read; at most 256 characters")
	out.add(cmd)
	w.add(cmd)
	return cmd
}

// setState sets the state of a key with a patch, so that it cannot conflict with other writers.
func setState(ctx context.Context, k8s client.Client, namespace, name string, state v1alpha1.KeyState,
	reason string,
) (*v1alpha1.ApiKey, error) {
	o := &v1alpha1.ApiKey{}
	o.Namespace, o.Name = namespace, name
	// The annotation lets an account resume what it suspended over REST. A change by kubectl takes that back.
	annotations := map[string]any{v1alpha1.SuspendedByAnnotation: nil}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": annotations},
		"spec":     map[string]any{"state": state, "stateReason": reason},
	})
	if err != nil {
		return nil, fmt.Errorf("patch ApiKey %s: %w", name, err)
	}
	err = k8s.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsNotFound(err) {
		return nil, notFound(namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("patch ApiKey %s: %w", name, err)
	}
	return o, nil
}
