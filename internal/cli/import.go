// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const (
	defaultConcurrency = 16
	maxConcurrency     = 64
	maxReported        = 20 // problems that are printed
)

// importFlags are the flags of import.
type importFlags struct {
	inputFormat

	dryRun      string
	concurrency int
}

func (c *cli) importing() *cobra.Command {
	var in importFlags
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Import existing tokens from standard input; they are hashed here",
		Long: `Import existing tokens, so that they keep working. Standard input has one token per line: digests
(--digests, 64 hexadecimal digits of SHA-256) or tokens (--tokens), which are hashed here and leave
this machine only as SHA-256. Without these flags it is CSV whose first line names the columns:
token or sha256, and any of name, description, role, scopes (separated by spaces), owner, ownerID,
expiresAt, hint.

All lines are read and checked before any ApiKey is created. An ApiKey is named after its digest
unless the CSV has a name, so the same token is never imported twice: after an interruption run the
same command again. Existing keys are left unchanged. Import only random tokens: the SHA-256 of a
guessable password can be reversed.`,
		Example: `  kubectl apikey import --digests --role=member < digests.txt
  psql -At -c 'select token from keys' | kubectl apikey import --tokens --dry-run=server
  kubectl apikey import < keys.csv`,
		Args: noArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.importInput(cmd.Context(), in) },
	}
	f := cmd.Flags()
	f.BoolVar(&in.digests, "digests", false, "lines are digests")
	f.BoolVar(&in.tokens, "tokens", false, "lines are tokens")
	f.StringVar(&in.role, "role", string(v1alpha1.RoleMember), "role of keys without one: viewer, member or admin")
	f.StringVar(&in.namePrefix, "name-prefix", "imported-", "prefix of names that are derived from digests")
	f.StringVar(&in.dryRun, "dry-run", dryRunNone,
		"none; client: only check the input; server: the API server only validates")
	f.IntVar(&in.concurrency, "concurrency", defaultConcurrency,
		fmt.Sprintf("how many ApiKeys to create at the same time, 1 to %d", maxConcurrency))
	completeValues(cmd, "dry-run", dryRuns)
	completeValues(cmd, "role", roles)
	return cmd
}

func (c *cli) importInput(ctx context.Context, in importFlags) error {
	if err := in.check(); err != nil {
		return exit{exitUsage, err}
	}
	rows, err := c.rows(in)
	if err != nil {
		return exit{exitUsage, err}
	}
	if in.dryRun == dryRunClient {
		c.notef("%d ApiKeys would be created; the cluster was not contacted.", len(rows))
		return nil
	}
	k8s, namespace, err := c.connect()
	if err != nil {
		return err
	}
	return c.importRows(ctx, k8s, namespace, rows, in)
}

func (in importFlags) check() error {
	switch {
	case in.digests && in.tokens:
		return errors.New("--digests and --tokens exclude each other: give one of them")
	case !slices.Contains(roles, in.role):
		return fmt.Errorf("--role=%s: %w", in.role, errRole)
	case in.concurrency < 1 || in.concurrency > maxConcurrency:
		return fmt.Errorf("--concurrency=%d: want 1 to %d", in.concurrency, maxConcurrency)
	case !slices.Contains(dryRuns, in.dryRun):
		return fmt.Errorf("--dry-run=%s: %w", in.dryRun, errDryRun)
	}
	return nil
}

// rows reads the whole input. If a line is wrong, nothing is imported.
func (c *cli) rows(in importFlags) ([]row, error) {
	rows, repeats, problems := in.read(c.In, c.format)
	switch {
	case len(problems) == 1:
		return nil, fmt.Errorf("%w; nothing was imported", problems[0])
	case len(problems) > 1:
		c.printProblems(problems)
		return nil, fmt.Errorf("%d lines of the input are wrong; nothing was imported", len(problems))
	case len(rows) == 0:
		return nil, errors.New("standard input is empty: give digests, tokens or CSV")
	}
	if repeats > 0 {
		c.notef("Repeated lines that are skipped: %d.", repeats)
	}
	return rows, nil
}

// importRows creates the ApiKeys that do not exist yet.
func (c *cli) importRows(ctx context.Context, k8s client.Client, namespace string, rows []row, in importFlags) error {
	existing, err := digestsOf(ctx, k8s, namespace)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return existing[r.digest] })
	had := len(rows) - len(missing)
	if had > 0 {
		c.notef("%d of %d exist already, %d remain.", had, len(rows), len(missing))
	}
	w := &importer{k8s: k8s, namespace: namespace, dryRun: in.dryRun == dryRunServer}
	began := c.now()
	stop := c.progress(len(missing), &w.done)
	fatal := w.createAll(ctx, missing, in.concurrency)
	stop()
	created := int(w.created.Load())
	verb := "imported"
	if w.dryRun {
		verb = "would be imported"
	}
	c.printProblems(w.problems)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %d of %d %s; run the same command again to continue", had+created, len(rows), verb)
	case fatal != nil:
		return fmt.Errorf("%w; %d of %d %s: run the same command again to continue", fatal, had+created, len(rows), verb)
	case len(w.problems) > 0:
		return fmt.Errorf("%d of %d %s; %d refused", had+created, len(rows), verb, len(w.problems))
	}
	c.notef("%d %s in %s, %d existed already.", created, verb, c.now().Sub(began).Round(time.Second/10), had)
	return nil
}

// digestsOf returns the digests of all ApiKeys of a Namespace.
func digestsOf(ctx context.Context, k8s client.Client, namespace string) (map[apikey.Digest]bool, error) {
	out := map[apikey.Digest]bool{}
	err := each(ctx, k8s, func(o *v1alpha1.ApiKey) {
		for _, c := range kube.Credentials(o) {
			out[c.Digest] = true
		}
	}, client.InNamespace(namespace))
	return out, err
}

// importer creates ApiKeys.
type importer struct {
	k8s           client.Client
	namespace     string
	dryRun        bool
	done, created atomic.Int64

	mu       sync.Mutex
	problems []error
}

// createAll creates ApiKeys until all are done, or an error would occur for every other one too.
func (w *importer) createAll(ctx context.Context, rows []row, concurrency int) error {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for _, r := range rows {
		if working.Err() != nil {
			break
		}
		group.Go(func() error { return w.create(working, r) })
	}
	return group.Wait() //nolint:wrapcheck // names the line
}

// create creates one ApiKey. A refusal of this one ApiKey is recorded; the error is any other.
func (w *importer) create(ctx context.Context, r row) error {
	o := r.manifest(w.namespace)
	var options []client.CreateOption
	if w.dryRun {
		options = append(options, client.DryRunAll)
	}
	err := w.k8s.Create(ctx, o, options...)
	if apierrors.IsAlreadyExists(err) {
		err = w.compare(ctx, r, o)
	}
	switch {
	case err == nil:
		w.created.Add(1)
	case ctx.Err() != nil:
		return nil //nolint:nilerr // interrupted, or another one has failed
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsAlreadyExists(err):
		w.mu.Lock()
		w.problems = append(w.problems, fmt.Errorf("line %d: %w", r.line, err))
		w.mu.Unlock()
	default:
		return fmt.Errorf("line %d: %w", r.line, err)
	}
	w.done.Add(1)
	return nil
}

// compare returns nil when the existing ApiKey of that name has the digest of the row: a response was lost, or another
// import of the same token runs at the same time.
func (w *importer) compare(ctx context.Context, r row, o *v1alpha1.ApiKey) error {
	existing, err := get(ctx, w.k8s, w.namespace, o.Name)
	if err != nil {
		return err
	}
	for _, c := range kube.Credentials(existing) {
		if c.Digest == r.digest {
			return nil
		}
	}
	return apierrors.NewAlreadyExists(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(),
		o.Name+" (with another token: give this line another name)")
}

// printProblems prints the first problems.
func (c *cli) printProblems(problems []error) {
	for i, p := range problems {
		if i == maxReported {
			c.notef("… and %d more", len(problems)-maxReported)
			return
		}
		c.notef("%v", p)
	}
}
