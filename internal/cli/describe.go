// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/manage"
)

// secretMeta is a Secret without its data, which nobody needs to see here.
func secretMeta() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
}

func (c *cli) describe() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show a key, its tokens, and what was told of it",
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			o, err := get(cmd.Context(), k8s, namespace, plain(args)[0])
			if err != nil {
				return err
			}
			if out.format != "table" {
				return c.show(&out, false, *o)
			}
			return c.tell(cmd.Context(), k8s, o)
		},
	}
	out.add(cmd)
	return cmd
}

// oneName completes one name.
func (c *cli) oneName(cmd *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.names(cmd, args, part)
}

func (c *cli) tell(ctx context.Context, k8s client.Client, o *v1alpha1.ApiKey) error {
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	now := time.Now()
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%s:\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("Name", "%s", o.Name)
	line("Namespace", "%s", o.Namespace)
	if o.Spec.Description != "" {
		line("Description", "%s", o.Spec.Description)
	}
	line("State", "%s", strings.TrimSpace(string(cmp.Or(o.Spec.State, v1alpha1.KeyActive))+"  "+o.Spec.StateReason))
	line("Role", "%s", cmp.Or(o.Spec.Role, v1alpha1.RoleMember))
	line("Scopes", "%s", listed(o.Spec.Scopes, "all that the role allows"))
	line("Networks", "%s", listed(o.Spec.AllowedCIDRs, "any"))
	if o.Spec.Owner != nil {
		line("Owner", "%s (%s)", o.Spec.Owner.Username, o.Spec.Owner.ID)
	}
	line("Expires", "%s", until(o.Spec.ExpiresAt, now))
	if kube.Imported(o) {
		line("Delivered", "nowhere: whoever made its tokens has them")
	} else {
		line("Secret", "%s", cmp.Or(o.Status.SecretName, "none yet"))
	}
	if o.Spec.Rotation != nil {
		line("Next rotation", "%s", until(o.Status.NextRotationTime, now))
	}
	line("Last used", "%s", ago(o.Status.LastUsedTime, now))
	line("Requested by", "%s", cmp.Or(o.Annotations[v1alpha1.RequestedByAnnotation], "unknown"))
	_, _ = fmt.Fprintln(w, "Conditions:")
	for _, s := range o.Status.Conditions {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", s.Type, s.Status, s.Reason, s.Message)
	}
	_, _ = fmt.Fprintln(w, "Tokens:")
	for _, t := range kube.Credentials(o) {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", t.Digest.ID(), t.Hint, t.Phase, verdictOn(o, t, now))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return c.tellEvents(ctx, k8s, o)
}

// verdictOn says in words whether a token would be accepted now, from a network that it may be used from.
func verdictOn(o *v1alpha1.ApiKey, t apikey.Credential, now time.Time) string {
	key := kube.Key(o)
	if reason := apikey.UsableFromAnywhere(key, t, now); reason != denial.None {
		return "refused: " + reason.String()
	}
	if end := apikey.Earliest(key.ExpiresAt, t.ValidUntil); !end.IsZero() {
		return "accepted for " + duration.HumanDuration(end.Sub(now))
	}
	return "accepted"
}

func listed[T ~string](all []T, none string) string {
	if len(all) == 0 {
		return none
	}
	var out []string
	for _, s := range all {
		out = append(out, string(s))
	}
	return strings.Join(out, ", ")
}

func (c *cli) tellEvents(ctx context.Context, k8s client.Client, o *v1alpha1.ApiKey) error {
	desk := &manage.Service{Client: k8s, Now: time.Now}
	events, err := desk.Events(ctx, o.Namespace, string(o.UID))
	if err != nil {
		return err //nolint:wrapcheck // says what it lists
	}
	c.print("Events:")
	if len(events) == 0 {
		c.print("  none that the cluster remembers")
	}
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	for _, e := range events {
		kind := "Normal"
		if e.Warning {
			kind = "Warning"
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", duration.HumanDuration(time.Since(e.At)), kind, e.Reason, e.Note)
	}
	return w.Flush() //nolint:wrapcheck // of our own output
}

// activityView is what GET …/activity answers, as far as it is shown.
type activityView struct {
	Accepted   int64      `json:"accepted"`
	Denied     int64      `json:"denied"`
	LastUsedAt *time.Time `json:"lastUsedAt"`
	Outcomes   []counted  `json:"outcomes"`
	Doors      []counted  `json:"doors"`
	Networks   []counted  `json:"networks"`
	Unusual    []struct {
		At       time.Time `json:"at"`
		Sentence string    `json:"sentence"`
	} `json:"unusual"`
}

type counted struct {
	Name   string    `json:"name"`
	Count  int64     `json:"count"`
	LastAt time.Time `json:"lastAt"`
}

// door is how to reach the server, for what the cluster does not know.
type door struct{ server, caFile string }

func (d *door) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.server, "server-url", "", "ask the server at this address: https:// and a host")
	cmd.Flags().StringVar(&d.caFile, "server-ca", "", "file with PEM certificates that the server's is verified by; default the system's")
}

// ask asks the server, with a token, and returns the status and the body of its answer.
func (d *door) ask(ctx context.Context, path, token string) (int, []byte, error) {
	at, err := url.Parse(d.server)
	if err != nil || at.Scheme != "https" || at.Host == "" {
		return 0, nil, exit{exitUsage, errors.New("--server-url: want https:// and a host")}
	}
	config := &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: d.caFile}, Timeout: 30 * time.Second}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, nil, fmt.Errorf("--server-ca: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(d.server, "/")+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the server: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := httpClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the server: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, errors.Join(err, resp.Body.Close())
}

func (c *cli) activity() *cobra.Command {
	var d door
	var since time.Duration
	var format string
	cmd := &cobra.Command{
		Use:   "activity NAME",
		Short: "Show what a key is used for",
		Long: `Show what a key is used for. What the cluster knows: when it was last used, and what was unusual. The server knows more: with
--server-url and a token on standard input that may see the key (activity:read), who used it, where from and how often.`,
		Example: `  kubectl apikey activity billing
  kubectl apikey activity billing --server-url=https://keys.example.com < admin-token`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "table" && format != "json" || format == "json" && d.server == "" {
				return exit{exitUsage, fmt.Errorf("-o %s: want table, or json with --server-url", format)}
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			o, err := get(cmd.Context(), k8s, namespace, plain(args)[0])
			if err != nil {
				return err
			}
			if d.server == "" {
				c.print("Last used: %s", ago(o.Status.LastUsedTime, time.Now()))
				c.say("For counts, networks and doors ask the server: --server-url, with a token on standard input.")
				return c.tellEvents(cmd.Context(), k8s, o)
			}
			return c.tellActivity(cmd.Context(), d, "/api/keys/"+namespace+"/"+o.Name+"/activity?since="+url.QueryEscape(time.Now().Add(-since).UTC().Format(time.RFC3339)), format)
		},
	}
	d.add(cmd)
	cmd.Flags().DurationVar(&since, "since", 24*time.Hour, "how far to look back")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json, the server's answer as it is")
	return cmd
}

// tellActivity asks the server, with a token from standard input.
func (c *cli) tellActivity(ctx context.Context, d door, path, format string) error {
	token, err := c.readToken()
	if err != nil {
		return err
	}
	status, body, err := d.ask(ctx, path, token)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the server answers %d: %s", status, bytes.TrimSpace(body))
	}
	if format == "json" {
		c.print("%s", bytes.TrimSpace(body))
		return nil
	}
	var v activityView
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	c.print("Accepted %d, refused %d", v.Accepted, v.Denied)
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	for _, part := range []struct {
		name string
		of   []counted
	}{{"Outcomes", v.Outcomes}, {"Doors", v.Doors}, {"Networks", v.Networks}} {
		_, _ = fmt.Fprintf(w, "%s:\n", part.name)
		for _, n := range part.of {
			_, _ = fmt.Fprintf(w, "  %s\t%d\tlast %s ago\n", n.Name, n.Count, duration.HumanDuration(time.Since(n.LastAt)))
		}
	}
	_, _ = fmt.Fprintln(w, "Unusual:")
	for _, u := range v.Unusual {
		_, _ = fmt.Fprintf(w, "  %s ago\t%s\n", duration.HumanDuration(time.Since(u.At)), u.Sentence)
	}
	return w.Flush() //nolint:wrapcheck // of our own output
}
