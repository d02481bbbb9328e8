// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// chunk is how many ApiKeys are asked for at once.
const chunk = 500

// newKey are the flags of create.
type newKey struct {
	description, role, owner, ownerID     string
	scopes, cidrs, restart                []string
	expires, every, overlap               string
	schedule, timeZone, secret, secretKey string
	refreshPods, showOnce                 bool
	dryRun                                string
}

func (c *cli) create() *cobra.Command {
	var in newKey
	var out output
	var w wait
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an ApiKey",
		Long: `Make an ApiKey. Its token is delivered to a Secret of its name, which a workload mounts; or, with --show-once, made
here, printed once and never stored: the cluster is told its SHA-256 alone.`,
		Example: `  kubectl apikey create billing --role=member --every=720h --wait
  kubectl apikey create laptop --owner=you@example.com --owner-id=123 --expires=90d --show-once
  kubectl apikey create billing --schedule='0 3 * * 0' --restart=Deployment/web --dry-run=client -o yaml > billing.yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(out.check(), w.check(cmd)); err != nil {
				return err
			}
			return c.make(cmd.Context(), args[0], in, &out, w)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.description, "description", "", "what the key is for")
	f.StringVar(&in.role, "role", "member", "viewer, member or admin")
	f.StringSliceVar(&in.scopes, "scope", nil, "limit the key to this scope; may be given again")
	f.StringVar(&in.owner, "owner", "", "username of the account that the key acts for; with --owner-id")
	f.StringVar(&in.ownerID, "owner-id", "", "id of that account")
	f.StringVar(&in.expires, "expires", "", "when the key ends: 90d, 12h, or an instant like 2027-01-01T00:00:00Z")
	f.StringSliceVar(&in.cidrs, "cidr", nil, "network that the key may be used from; may be given again")
	f.StringVar(&in.secret, "secret", "", "name of the Secret; default: the key's name")
	f.StringVar(&in.secretKey, "secret-key", "", `key of the Secret; default "token"`)
	f.StringVar(&in.every, "every", "", "rotate this often, like 720h")
	f.StringVar(&in.schedule, "schedule", "", "rotate by these five cron fields")
	f.StringVar(&in.timeZone, "time-zone", "", "of the schedule, like Europe/Berlin")
	f.StringVar(&in.overlap, "overlap", "", "for how long a replaced token is still accepted; default 24h")
	f.StringSliceVar(&in.restart, "restart", nil, "workload that is restarted for a new token, like Deployment/web; may be given again")
	f.BoolVar(&in.refreshPods, "refresh-pods", false, "have Pods that mount the Secret look at a new token at once")
	f.BoolVar(&in.showOnce, "show-once", false, "print the token, once, in place of delivering it to a Secret")
	f.StringVar(&in.dryRun, "dry-run", "none", "none; client: only print; server: have the API server check it")
	out.add(cmd)
	w.add(cmd)
	for flag, values := range map[string][]string{"role": {"viewer", "member", "admin"}, "dry-run": {"none", "client", "server"}} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

func (c *cli) make(ctx context.Context, name string, in newKey, out *output, w wait) error {
	o, err := in.manifest(name, time.Now())
	if err != nil {
		return exit{exitUsage, err}
	}
	k8s, namespace, err := c.connect()
	o.Namespace = namespace
	if in.dryRun == "client" {
		return c.show(out, false, *o)
	}
	if err != nil {
		return err
	}
	if in.showOnce {
		return c.makeShown(ctx, k8s, o, w)
	}
	var options []client.CreateOption
	if in.dryRun == "server" {
		options = append(options, client.DryRunAll)
	}
	if err := k8s.Create(ctx, o, options...); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	if in.dryRun == "none" {
		err = w.until(ctx, k8s, o, ready)
	}
	if err := errors.Join(err, c.show(out, false, *o)); err != nil {
		return err
	}
	if out.format == "table" && in.dryRun == "none" {
		c.say("Its token is delivered to Secret %s, key %s.", cmp.Or(in.secret, name), cmp.Or(in.secretKey, "token"))
	}
	return nil
}

// makeShown makes a key whose token is printed once.
func (c *cli) makeShown(ctx context.Context, k8s client.Client, o *v1alpha1.ApiKey, w wait) error {
	token, err := c.format.Mint(rand.Reader)
	if err != nil {
		return err //nolint:wrapcheck // says what it reads
	}
	o.Spec.Digests = []v1alpha1.Digest{{SHA256: token.Digest().String(), Hint: token.Hint()}}
	if err := k8s.Create(ctx, o); err != nil {
		return fmt.Errorf("create %s: %w", o.Name, err)
	}
	c.print("%s", token.Reveal()) // first: whatever comes now, nobody else has it
	c.say("This is the only time that the token is shown. Keep it where secrets are kept.")
	return w.until(ctx, k8s, o, ready)
}

// manifest returns the ApiKey that the flags ask for.
func (in newKey) manifest(name string, now time.Time) (*v1alpha1.ApiKey, error) {
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Name: name}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ApiKey"))
	o.Spec = v1alpha1.ApiKeySpec{State: v1alpha1.KeyActive, Description: in.description, Role: v1alpha1.Role(in.role)}
	if (in.owner == "") != (in.ownerID == "") {
		return nil, errors.New("give --owner and --owner-id, or neither")
	}
	if in.owner != "" {
		o.Spec.Owner = &v1alpha1.Owner{ID: in.ownerID, Username: in.owner}
	}
	for _, s := range in.scopes {
		o.Spec.Scopes = append(o.Spec.Scopes, v1alpha1.Scope(s))
	}
	for _, n := range in.cidrs {
		o.Spec.AllowedCIDRs = append(o.Spec.AllowedCIDRs, v1alpha1.CIDR(n))
	}
	if !slices.Contains([]string{"none", "client", "server"}, in.dryRun) {
		return nil, fmt.Errorf("--dry-run=%s: want none, client or server", in.dryRun)
	}
	if in.showOnce && in.dryRun != "none" {
		return nil, errors.New("--show-once makes a token, which a dry run cannot: leave one of them out")
	}
	if !slices.Contains(roles, in.role) {
		return nil, fmt.Errorf("--role=%s: %w", in.role, errRole)
	}
	err1 := in.delivery(o)
	err2 := in.rotation(o)
	expires, err3 := parseTime(in.expires, now)
	o.Spec.ExpiresAt = expires
	return o, errors.Join(err1, err2, err3)
}

func (in newKey) delivery(o *v1alpha1.ApiKey) error {
	if in.secret == "" && in.secretKey == "" && len(in.restart) == 0 && !in.refreshPods {
		return nil
	}
	if in.showOnce {
		return errors.New("--show-once delivers to no Secret: leave out --secret, --secret-key, --restart and --refresh-pods")
	}
	o.Spec.Secret = &v1alpha1.SecretDelivery{Name: in.secret, Key: in.secretKey}
	if in.refreshPods {
		o.Spec.Secret.Refresh = v1alpha1.RefreshPods
	}
	for _, r := range in.restart {
		kind, name, ok := strings.Cut(r, "/")
		if !ok {
			return fmt.Errorf("--restart=%s: want a kind and a name, like Deployment/web", r)
		}
		o.Spec.Secret.Restart = append(o.Spec.Secret.Restart, v1alpha1.Consumer{Kind: v1alpha1.ConsumerKind(kind), Name: name})
	}
	return nil
}

func (in newKey) rotation(o *v1alpha1.ApiKey) error {
	if in.every == "" && in.schedule == "" {
		if in.overlap != "" || in.timeZone != "" {
			return errors.New("--overlap and --time-zone go with --every or --schedule")
		}
		return nil
	}
	o.Spec.Rotation = &v1alpha1.Rotation{Schedule: in.schedule, TimeZone: in.timeZone}
	for flag, at := range map[string]**metav1.Duration{"every": &o.Spec.Rotation.Every, "overlap": &o.Spec.Rotation.Overlap} {
		text := map[string]string{"every": in.every, "overlap": in.overlap}[flag]
		if text == "" {
			continue
		}
		d, err := span(text)
		if err != nil {
			return fmt.Errorf("--%s=%s: %w", flag, text, err)
		}
		*at = &metav1.Duration{Duration: d}
	}
	return nil
}

// parseTime reads a time, or a duration from now.
func parseTime(text string, now time.Time) (*metav1.Time, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // none is asked for
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return &metav1.Time{Time: t}, nil
	}
	d, err := span(text)
	if err != nil || d <= 0 {
		return nil, fmt.Errorf("--expires=%s: want 90d, 12h, or an instant like 2027-01-01T00:00:00Z", text)
	}
	return &metav1.Time{Time: now.Add(d).UTC().Truncate(time.Second)}, nil
}

// span reads a duration, which may be in days.
func span(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return 0, errors.New("want a duration like 90d or 12h")
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("want a duration like 90d or 12h")
	}
	return d, nil
}

// filter are the flags that choose ApiKeys.
type filter struct{ selector, state, owner string }

func (c *cli) list() *cobra.Command {
	var out output
	var f filter
	cmd := &cobra.Command{
		Use:               "list",
		Aliases:           []string{"ls", "get"},
		Short:             "List ApiKeys",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			if out.allSpaces {
				namespace = metav1.NamespaceAll
			}
			found, err := f.find(cmd.Context(), k8s, namespace)
			if err != nil {
				return err
			}
			return c.show(&out, true, found...)
		},
	}
	cmd.Flags().BoolVarP(&out.allSpaces, "all-namespaces", "A", false, "of all Namespaces")
	cmd.Flags().StringVarP(&f.selector, "selector", "l", "", "only those with these labels")
	cmd.Flags().StringVar(&f.state, "state", "", "only those that are Active, Suspended or Revoked")
	cmd.Flags().StringVar(&f.owner, "owner", "", "only those of this account, by username or id")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"Active", "Suspended", "Revoked"}, cobra.ShellCompDirectiveNoFileComp))
	out.add(cmd)
	return cmd
}

// find returns the ApiKeys that are chosen.
func (f filter) find(ctx context.Context, k8s client.Client, namespace string) ([]v1alpha1.ApiKey, error) {
	chosen, err := labels.Parse(f.selector)
	if err != nil {
		return nil, exit{exitUsage, fmt.Errorf("-l: %w", err)}
	}
	if f.state != "" && !slices.Contains([]v1alpha1.KeyState{v1alpha1.KeyActive, v1alpha1.KeySuspended, v1alpha1.KeyRevoked}, v1alpha1.KeyState(f.state)) {
		return nil, exit{exitUsage, fmt.Errorf("--state=%s: want Active, Suspended or Revoked", f.state)}
	}
	found := []v1alpha1.ApiKey{}
	err = each(ctx, k8s, func(o *v1alpha1.ApiKey) bool {
		if f.matches(o) {
			found = append(found, *o)
		}
		return true
	}, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: chosen})
	return found, err
}

func (f filter) matches(o *v1alpha1.ApiKey) bool {
	if f.state != "" && f.state != string(cmp.Or(o.Spec.State, v1alpha1.KeyActive)) {
		return false
	}
	return f.owner == "" || o.Spec.Owner != nil && (o.Spec.Owner.Username == f.owner || o.Spec.Owner.ID == f.owner)
}

// each lists ApiKeys in chunks until a function has enough.
func each(ctx context.Context, k8s client.Reader, f func(*v1alpha1.ApiKey) bool, options ...client.ListOption) error {
	for next := ""; ; {
		var list v1alpha1.ApiKeyList
		if err := k8s.List(ctx, &list, append(slices.Clone(options), client.Limit(chunk), client.Continue(next))...); err != nil {
			return fmt.Errorf("list ApiKeys: %w", err)
		}
		for i := range list.Items {
			if !f(&list.Items[i]) {
				return nil
			}
		}
		if next = list.Continue; next == "" {
			return nil
		}
	}
}

// absent says that there is no such key.
func absent(namespace, name string) error {
	return fmt.Errorf("there is no ApiKey %s in Namespace %s; -n names another", name, namespace)
}

// plain returns names as -o name writes them, without the kind.
func plain(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, n[strings.LastIndex(n, "/")+1:])
	}
	return out
}

// get returns an ApiKey.
func get(ctx context.Context, k8s client.Reader, namespace, name string) (*v1alpha1.ApiKey, error) {
	var o v1alpha1.ApiKey
	err := k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &o)
	if apierrors.IsNotFound(err) {
		return nil, absent(namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	return &o, nil
}
