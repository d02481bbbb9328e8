// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const shownOnce = "The token is shown only this once. Store it safely."

const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

var (
	dryRuns = []string{dryRunNone, dryRunClient, dryRunServer}
	roles   = []string{string(v1alpha1.RoleViewer), string(v1alpha1.RoleMember), string(v1alpha1.RoleAdmin)}

	errRole   = errors.New("want the role viewer, member or admin")
	errDryRun = errors.New("want none, client or server")
)

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
		Short: "Create an ApiKey",
		Long: `Create an ApiKey. The controller delivers its token to a Secret, which a workload mounts. With
--show-once the token is created here, printed once and never stored; the cluster receives only its
SHA-256.`,
		Example: `  kubectl apikey create billing --role=member --every=720h --wait
  kubectl apikey create laptop --owner=you@example.com --owner-id=123 --expires=90d --show-once
  kubectl apikey create billing --schedule='0 3 * * 0' --restart=Deployment/web --dry-run=client -o yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(out.check(), w.check(cmd)); err != nil {
				return err
			}
			return c.createKey(cmd.Context(), args[0], in, &out, w)
		},
	}
	in.add(cmd)
	out.add(cmd)
	w.add(cmd)
	return cmd
}

func (in *newKey) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&in.description, "description", "", "what the key is for")
	f.StringVar(&in.role, "role", string(v1alpha1.RoleMember), "viewer, member or admin")
	f.StringSliceVar(&in.scopes, "scope", nil, "limit the key to this scope; repeatable")
	f.StringVar(&in.owner, "owner", "", "username of the account that the key acts for; needs --owner-id")
	f.StringVar(&in.ownerID, "owner-id", "", "id of that account")
	f.StringVar(&in.expires, "expires", "", "when the key expires: 90d, 12h, or a time like 2027-01-01T00:00:00Z")
	f.StringSliceVar(&in.cidrs, "cidr", nil, "network that may use the key, like 10.0.0.0/8; repeatable")
	f.StringVar(&in.secret, "secret", "", "name of the Secret; default: the name of the key")
	f.StringVar(&in.secretKey, "secret-key", "", `key of the Secret that holds the token; default "token"`)
	f.StringVar(&in.every, "every", "", "rotate this often, like 720h or 30d")
	f.StringVar(&in.schedule, "schedule", "", "rotate on this schedule of five cron fields")
	f.StringVar(&in.timeZone, "time-zone", "", "time zone of the schedule, like Europe/Berlin; default UTC")
	f.StringVar(&in.overlap, "overlap", "", "how long the previous token works after a rotation; default 24h")
	f.StringSliceVar(
		&in.restart,
		"restart",
		nil,
		"workload to restart after a rotation, like Deployment/web; repeatable",
	)
	f.BoolVar(&in.refreshPods, "refresh-pods", false, "after a rotation, refresh the Pods that mount the Secret")
	f.BoolVar(&in.showOnce, "show-once", false, "print the token once instead of delivering it to a Secret")
	f.StringVar(&in.dryRun, "dry-run", dryRunNone, "none; client: only print; server: the API server only validates")
	completeValues(cmd, "role", roles)
	completeValues(cmd, "dry-run", dryRuns)
}

func (c *cli) createKey(ctx context.Context, name string, in newKey, out *output, w wait) error {
	o, err := in.manifest(name, c.now())
	if err != nil {
		return exit{exitUsage, err}
	}
	k8s, namespace, err := c.connect()
	o.Namespace = namespace
	if in.dryRun == dryRunClient { // needs no cluster
		return c.show(out, false, *o)
	}
	if err != nil {
		return err
	}
	if in.showOnce {
		return c.createShown(ctx, k8s, o, w)
	}
	var options []client.CreateOption
	if in.dryRun == dryRunServer {
		options = append(options, client.DryRunAll)
	}
	if err := k8s.Create(ctx, o, options...); err != nil {
		return createError(o, err)
	}
	if in.dryRun == dryRunNone {
		err = w.until(ctx, k8s, o, usable)
	}
	if err := errors.Join(err, c.show(out, false, *o)); err != nil {
		return err
	}
	if out.format == formatTable && in.dryRun == dryRunNone {
		c.notef("The token is delivered to Secret %s, key %s.", kube.SecretName(o), kube.SecretKey(o))
	}
	return nil
}

func createError(o *v1alpha1.ApiKey, err error) error {
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("ApiKey %s exists in Namespace %s already: choose another name", o.Name, o.Namespace)
	}
	return fmt.Errorf("create ApiKey %s: %w", o.Name, err)
}

// createShown creates a key whose token is printed once.
func (c *cli) createShown(ctx context.Context, k8s client.Client, o *v1alpha1.ApiKey, w wait) error {
	token, err := c.format.Mint(c.entropy)
	if err != nil {
		return err //nolint:wrapcheck // says what it reads
	}
	o.Spec.Digests = []v1alpha1.Digest{{SHA256: token.Digest().String(), Hint: token.Hint()}}
	if err := k8s.Create(ctx, o); err != nil {
		return createError(o, err)
	}
	c.printf("%s", token.Reveal()) // before waiting, which may fail: there is no other copy
	c.notef(shownOnce)
	return w.until(ctx, k8s, o, usable)
}

// manifest returns the ApiKey that the flags describe.
func (in newKey) manifest(name string, now time.Time) (*v1alpha1.ApiKey, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Name: name}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ApiKey"))
	o.Spec = v1alpha1.ApiKeySpec{State: v1alpha1.KeyActive, Description: in.description, Role: v1alpha1.Role(in.role)}
	if in.owner != "" {
		o.Spec.Owner = &v1alpha1.Owner{ID: in.ownerID, Username: in.owner}
	}
	for _, s := range in.scopes {
		o.Spec.Scopes = append(o.Spec.Scopes, v1alpha1.Scope(s))
	}
	for _, n := range in.cidrs {
		o.Spec.AllowedCIDRs = append(o.Spec.AllowedCIDRs, v1alpha1.CIDR(n))
	}
	err1 := in.setDelivery(o)
	err2 := in.setRotation(o)
	expires, err3 := parseExpiry(in.expires, now)
	o.Spec.ExpiresAt = expires
	return o, errors.Join(err1, err2, err3)
}

// check returns which flags are wrong or exclude each other.
func (in newKey) check() error {
	switch {
	case (in.owner == "") != (in.ownerID == ""):
		return errors.New("--owner and --owner-id belong together: give both or neither")
	case !slices.Contains(dryRuns, in.dryRun):
		return fmt.Errorf("--dry-run=%s: %w", in.dryRun, errDryRun)
	case in.showOnce && in.dryRun != dryRunNone:
		return errors.New("--show-once creates a token, which a dry run cannot: omit --show-once or --dry-run")
	case !slices.Contains(roles, in.role):
		return fmt.Errorf("--role=%s: %w", in.role, errRole)
	}
	return nil
}

func (in newKey) setDelivery(o *v1alpha1.ApiKey) error {
	if in.secret == "" && in.secretKey == "" && len(in.restart) == 0 && !in.refreshPods {
		return nil
	}
	if in.showOnce {
		return errors.New("--show-once delivers to no Secret: omit --secret, --secret-key, --restart and --refresh-pods")
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
		consumer := v1alpha1.Consumer{Kind: v1alpha1.ConsumerKind(kind), Name: name}
		o.Spec.Secret.Restart = append(o.Spec.Secret.Restart, consumer)
	}
	return nil
}

func (in newKey) setRotation(o *v1alpha1.ApiKey) error {
	if in.every == "" && in.schedule == "" {
		if in.overlap != "" || in.timeZone != "" {
			return errors.New("--overlap and --time-zone need --every or --schedule")
		}
		return nil
	}
	every, err1 := durationFlag("every", in.every)
	overlap, err2 := durationFlag("overlap", in.overlap)
	o.Spec.Rotation = &v1alpha1.Rotation{Schedule: in.schedule, TimeZone: in.timeZone, Every: every, Overlap: overlap}
	return errors.Join(err1, err2)
}

func durationFlag(name, text string) (*metav1.Duration, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // the flag is not set
	}
	d, err := parseDuration(text)
	if err != nil {
		return nil, fmt.Errorf("--%s=%s: %w", name, text, err)
	}
	return &metav1.Duration{Duration: d}, nil
}
