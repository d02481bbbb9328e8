// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/manage"
)

// rotation are the flags of rotate.
type rotation struct {
	output

	wait     wait
	showOnce bool
	overlap  string
}

func (c *cli) rotate() *cobra.Command {
	var in rotation
	cmd := &cobra.Command{
		Use:   "rotate NAME...",
		Short: "Give keys new tokens",
		Long: `Give keys new tokens. The previous tokens work for the overlap. The controller creates the new token
of a key that is delivered to a Secret. With --show-once the token of an imported key is created
here, printed once, and never stored.`,
		Example: `  kubectl apikey rotate billing --wait
  kubectl apikey rotate laptop --show-once --overlap=1h`,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeNames,
		RunE: func(cmd *cobra.Command, names []string) error {
			names = bareNames(names)
			if err := errors.Join(in.output.check(), in.wait.check(cmd), in.check(names)); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			if in.showOnce {
				return c.rotateImported(cmd.Context(), k8s, namespace, names[0], in.overlap)
			}
			var problems []error
			for _, name := range names {
				problems = append(problems, c.rotateDelivered(cmd.Context(), k8s, namespace, name, &in))
			}
			return errors.Join(problems...)
		},
	}
	cmd.Flags().BoolVar(&in.showOnce, "show-once", false, "create the token of an imported key here, and print it once")
	cmd.Flags().StringVar(&in.overlap, "overlap", "",
		"with --show-once: how long the previous token works; default: the overlap of the key")
	in.add(cmd)
	in.wait.add(cmd)
	return cmd
}

func (in *rotation) check(names []string) error {
	if in.overlap != "" && !in.showOnce {
		return exit{exitUsage, errors.New("--overlap needs --show-once; for other keys set spec.rotation.overlap")}
	}
	if in.showOnce && len(names) > 1 {
		return exit{exitUsage, errors.New("--show-once prints one token: give one name")}
	}
	return nil
}

// rotateDelivered requests a rotation from the controller.
func (c *cli) rotateDelivered(ctx context.Context, k8s client.Client, namespace, name string, in *rotation) error {
	o, err := get(ctx, k8s, namespace, name)
	if err != nil {
		return err
	}
	if err := c.rotatable(o, in.wait.on); err != nil {
		return err
	}
	request := c.now().UTC().Format(time.RFC3339Nano)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{v1alpha1.RotateAnnotation: request}}})
	if err != nil {
		return fmt.Errorf("patch ApiKey %s: %w", name, err)
	}
	if err := k8s.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("patch ApiKey %s: %w", name, err)
	}
	if err := in.wait.until(ctx, k8s, o, rotated(request)); err != nil {
		return err
	}
	done := "rotation requested"
	if in.wait.on {
		done = "rotated"
	}
	c.notef("%s/%s %s; the previous token works for %s", namespace, name, done, kube.Overlap(o))
	if in.format != formatTable {
		return c.show(&in.output, false, *o)
	}
	return nil
}

// rotatable returns why the controller would not rotate a key.
func (c *cli) rotatable(o *v1alpha1.ApiKey, waits bool) error {
	if kube.Imported(o) {
		return fmt.Errorf("%s is an imported key, whose tokens the controller does not know: use --show-once", o.Name)
	}
	candidate := apikey.Credential{Phase: apikey.Current} // a token that the controller would issue now
	switch reason := apikey.UsableFromAnywhere(kube.Key(o), candidate, c.now()); reason {
	case denial.Deleted:
		return fmt.Errorf("%s is being deleted: create another key", o.Name)
	case denial.Revoked:
		return fmt.Errorf("%s is revoked permanently: create another key", o.Name)
	case denial.Expired:
		return fmt.Errorf("%s has expired: set a later spec.expiresAt, or create another key", o.Name)
	case denial.Suspended:
		if waits {
			return fmt.Errorf("%s is suspended and rotates when it is resumed: resume it first, or omit --wait", o.Name)
		}
		c.notef("%s/%s is suspended; it rotates when it is resumed.", o.Namespace, o.Name)
	default:
	}
	return nil
}

// rotateImported creates a token for an imported key, and prints it.
func (c *cli) rotateImported(ctx context.Context, k8s client.Client, namespace, name, overlap string) error {
	within := time.Duration(-1) // the overlap of the key
	if overlap != "" {
		var err error
		if within, err = parseDuration(overlap); err != nil {
			return exit{exitUsage, fmt.Errorf("--overlap=%s: %w", overlap, err)}
		}
	}
	o, err := get(ctx, k8s, namespace, name)
	if err != nil {
		return err
	}
	if !kube.Imported(o) {
		return fmt.Errorf("%s is delivered to Secret %s, and the controller creates its token: omit --show-once",
			name, kube.SecretName(o))
	}
	service := &manage.Service{Client: k8s, Tenants: oneNamespace{namespace}, Format: c.format, Entropy: c.entropy,
		Now: c.now}
	admin := authn.Principal{Role: authn.Admin, Tenant: namespace}
	issued, err := service.Rotate(ctx, admin, namespace, name, within, manage.Idempotency{})
	if err != nil {
		return fmt.Errorf("rotate %s: %w", name, err)
	}
	c.printf("%s", issued.Token.Reveal())
	c.notef(shownOnce)
	if !issued.PreviousUntil.IsZero() {
		c.notef("The previous token works until %s.", issued.PreviousUntil.UTC().Format(time.RFC3339))
	}
	return nil
}

// oneNamespace makes one Namespace the whole tenant of the caller. The API server decides what the caller may do in it.
type oneNamespace struct{ name string }

// Projects implements manage.Tenants.
func (n oneNamespace) Projects(string) []authn.Project {
	return []authn.Project{{Name: n.name, Tenant: n.name}}
}
