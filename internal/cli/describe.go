// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/manage"
)

func (c *cli) describe() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show a key with its conditions, tokens and Events",
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			o, err := get(cmd.Context(), k8s, namespace, bareNames(args)[0])
			if err != nil {
				return err
			}
			if out.format != formatTable {
				return c.show(&out, false, *o)
			}
			if err := c.printKey(o); err != nil {
				return err
			}
			return c.printEvents(cmd.Context(), k8s, o)
		},
	}
	out.add(cmd)
	return cmd
}

// columns aligns lines whose cells are separated by tabs.
func columns(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 8, 2, ' ', 0) }

func (c *cli) printKey(o *v1alpha1.ApiKey) error {
	w, now := columns(c.Out), c.now()
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%s:\t%s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	line("Name", "%s", o.Name)
	line("Namespace", "%s", o.Namespace)
	if o.Spec.Description != "" {
		line("Description", "%s", o.Spec.Description)
	}
	line("State", "%s", strings.TrimSpace(string(kube.StateOf(o, now))+"  "+o.Spec.StateReason))
	line("Role", "%s", roleOf(o))
	line("Scopes", "%s", joined(o.Spec.Scopes, "everything that the role allows"))
	line("Networks", "%s", joined(o.Spec.AllowedCIDRs, "any"))
	if o.Spec.Owner != nil {
		line("Owner", "%s (%s)", o.Spec.Owner.Username, o.Spec.Owner.ID)
	}
	line("Expires", "%s", relative(o.Spec.ExpiresAt, now))
	if kube.Imported(o) {
		line("Secret", "none: the tokens are imported, or were shown once")
	} else {
		line("Secret", "%s", cmp.Or(o.Status.SecretName, "none yet"))
	}
	if o.Spec.Rotation != nil {
		line("Next rotation", "%s", relative(o.Status.NextRotationTime, now))
	}
	line("Last used", "%s", lastUsed(o, now))
	line("Requested by", "%s", cmp.Or(o.Annotations[v1alpha1.RequestedByAnnotation], "unknown"))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return c.printStatus(o, now)
}

// printStatus prints the conditions and the tokens, each aligned on its own.
func (c *cli) printStatus(o *v1alpha1.ApiKey, now time.Time) error {
	w := columns(c.Out)
	_, _ = fmt.Fprintln(w, "Conditions:")
	if len(o.Status.Conditions) == 0 {
		_, _ = fmt.Fprintln(w, "  none: "+unobserved)
	}
	for _, s := range o.Status.Conditions {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", s.Type, s.Status, oneLine(s.Reason), oneLine(s.Message))
	}
	_ = w.Flush()
	_, _ = fmt.Fprintln(w, "Tokens:")
	tokens := kube.Credentials(o)
	if len(tokens) == 0 {
		_, _ = fmt.Fprintln(w, "  none")
	}
	for _, t := range tokens {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", t.Digest.ID(), oneLine(t.Hint), t.Phase, usability(o, t, now))
	}
	return w.Flush() //nolint:wrapcheck // of our own output
}

// usability says whether a token works now, from a network that may use the key.
func usability(o *v1alpha1.ApiKey, t apikey.Credential, now time.Time) string {
	key := kube.Key(o)
	if reason := apikey.UsableFromAnywhere(key, t, now); reason != denial.None {
		return "refused: " + reason.String()
	}
	if end := apikey.Earliest(key.ExpiresAt, t.ValidUntil); !end.IsZero() {
		return "accepted for " + duration.HumanDuration(end.Sub(now))
	}
	return "accepted"
}

func lastUsed(o *v1alpha1.ApiKey, now time.Time) string {
	if o.Status.LastUsedTime.IsZero() {
		return "never, or not recorded"
	}
	return age(o.Status.LastUsedTime, now) + " ago"
}

func (c *cli) printEvents(ctx context.Context, k8s client.Client, o *v1alpha1.ApiKey) error {
	service := &manage.Service{Client: k8s, Now: c.now}
	events, err := service.Events(ctx, o.Namespace, string(o.UID))
	if err != nil {
		return err //nolint:wrapcheck // says what it lists
	}
	c.printf("Events:")
	if len(events) == 0 {
		c.printf("  none; the cluster keeps Events for an hour by default")
	}
	w := columns(c.Out)
	for _, e := range events {
		kind := "Normal"
		if e.Warning {
			kind = "Warning"
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", duration.HumanDuration(c.now().Sub(e.At)), kind, oneLine(e.Reason),
			oneLine(e.Note))
	}
	return w.Flush() //nolint:wrapcheck // of our own output
}
