// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const (
	defaultAtOnce = 16
	maxAtOnce     = 64
	maxTold       = 20 // problems that are printed
	tellEvery     = 2 * time.Second
)

// imported are the flags of import.
type imported struct {
	shape
	dryRun string
	atOnce int
}

func (c *cli) importing() *cobra.Command {
	var in imported
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Take over tokens that exist already, from standard input; they are hashed here",
		Long: `Take over tokens that exist already, so that they go on working. Standard input has one a line: digests (--digests, 64 hexadecimal digits of SHA-256)
or tokens (--tokens), which are hashed here and leave this machine as SHA-256 only. Or CSV whose first line names its columns: token or sha256,
and any of name, description, role, scopes (separated by spaces), owner, ownerID, expiresAt, hint.

All lines are read and checked before anything is made. An ApiKey is named after its digest unless the CSV has a name, so a repeat makes none
twice: after an interruption run the same command again. A key that is there already is left as it is. Only random tokens are safe to import: the SHA-256 of a guessable password is a password.`,
		Example: `  kubectl apikey import --digests --role=member < digests.txt
  psql -At -c 'select token from keys' | kubectl apikey import --tokens --dry-run=server
  kubectl apikey import < keys.csv`,
		Args: fromInput, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.takeOver(cmd.Context(), in) },
	}
	f := cmd.Flags()
	f.BoolVar(&in.digests, "digests", false, "lines are digests")
	f.BoolVar(&in.tokens, "tokens", false, "lines are tokens")
	f.StringVar(&in.role, "role", "member", "role of keys that the input gives none: viewer, member or admin")
	f.StringVar(&in.lead, "name-prefix", "imported-", "what the names start with that are made of digests")
	f.StringVar(&in.dryRun, "dry-run", "none", "none; client: only check the input; server: have the API server check each ApiKey too")
	f.IntVar(&in.atOnce, "concurrency", defaultAtOnce, "ApiKeys that are made at once, 1 to "+strconv.Itoa(maxAtOnce))
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{"none", "client", "server"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"viewer", "member", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *cli) takeOver(ctx context.Context, in imported) error {
	if err := in.check(); err != nil {
		return exit{exitUsage, err}
	}
	rows, err := c.rows(in)
	if err != nil {
		return exit{exitUsage, err}
	}
	if in.dryRun == "client" {
		c.say("%d ApiKeys would be made; the cluster was not asked.", len(rows))
		return nil
	}
	k8s, namespace, err := c.connect()
	if err != nil {
		return err
	}
	return c.importRows(ctx, k8s, namespace, rows, in)
}

// check refuses flags that cannot be.
func (in imported) check() error {
	if !slices.Contains(roles, in.role) {
		return fmt.Errorf("--role=%s: %w", in.role, errRole)
	}
	if in.atOnce < 1 || in.atOnce > maxAtOnce {
		return fmt.Errorf("--concurrency=%d: want 1 to %d", in.atOnce, maxAtOnce)
	}
	if in.dryRun != "none" && in.dryRun != "client" && in.dryRun != "server" {
		return fmt.Errorf("--dry-run=%s: want none, client or server", in.dryRun)
	}
	return nil
}

// rows reads the whole input, which must all be right.
func (c *cli) rows(in imported) ([]row, error) {
	rows, repeats, problems := in.read(c.In, c.format)
	switch {
	case len(problems) == 1:
		return nil, fmt.Errorf("%w; nothing was imported", problems[0])
	case len(problems) > 1:
		c.complain(problems)
		return nil, fmt.Errorf("%d lines of the input are wrong; nothing was imported", len(problems))
	case len(rows) == 0:
		return nil, errors.New("standard input is empty: give digests, tokens or CSV")
	}
	if repeats > 0 {
		c.say("%d lines repeat an earlier one and are skipped.", repeats)
	}
	return rows, nil
}

// importRows makes what is not there yet.
func (c *cli) importRows(ctx context.Context, k8s client.Client, namespace string, rows []row, in imported) error {
	there, err := digestsOf(ctx, k8s, namespace)
	if err != nil {
		return err
	}
	todo := rows[:0:0]
	for _, r := range rows {
		if !there[r.digest] {
			todo = append(todo, r)
		}
	}
	had := len(rows) - len(todo)
	if had > 0 {
		c.say("%d of %d are there already, %d to go.", had, len(rows), len(todo))
	}
	work := &importWork{k8s: k8s, namespace: namespace, dryRun: in.dryRun == "server"}
	began := time.Now()
	stop := c.progress(len(todo), &work.done)
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(in.atOnce)
	for _, r := range todo {
		if working.Err() != nil {
			break
		}
		group.Go(func() error { return work.one(working, r) })
	}
	fatal := group.Wait()
	stop()
	made := int(work.made.Load())
	verb := "imported"
	if work.dryRun {
		verb = "would be imported"
	}
	c.complain(work.problems)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %d of %d %s; run the same command again to go on", had+made, len(rows), verb)
	case fatal != nil:
		return fmt.Errorf("%w; %d of %d %s: run the same command again to go on", fatal, had+made, len(rows), verb)
	case len(work.problems) > 0:
		return fmt.Errorf("%d of %d %s; %d were refused", had+made, len(rows), verb, len(work.problems))
	}
	c.say("%d %s in %s, %d were there already.", made, verb, time.Since(began).Round(time.Second/10), had)
	return nil
}

// digestsOf returns the digests that ApiKeys of a Namespace have.
func digestsOf(ctx context.Context, k8s client.Client, namespace string) (map[apikey.Digest]bool, error) {
	out := map[apikey.Digest]bool{}
	err := each(ctx, k8s, func(o *v1alpha1.ApiKey) bool {
		for _, c := range kube.Credentials(o) {
			out[c.Digest] = true
		}
		return true
	}, client.InNamespace(namespace))
	return out, err
}

// importWork makes ApiKeys.
type importWork struct {
	k8s        client.Client
	namespace  string
	dryRun     bool
	done, made atomic.Int64

	mu       sync.Mutex
	problems []error
}

// one makes one. The error is one that would meet every other too.
func (w *importWork) one(ctx context.Context, r row) error {
	o := r.manifest(w.namespace)
	var options []client.CreateOption
	if w.dryRun {
		options = append(options, client.DryRunAll)
	}
	err := w.k8s.Create(ctx, o, options...)
	if apierrors.IsAlreadyExists(err) {
		err = w.same(ctx, r, o)
	}
	switch {
	case err == nil:
		w.made.Add(1)
	case ctx.Err() != nil:
		return nil //nolint:nilerr // interrupted, or another has met a wall
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

// same returns nil when the ApiKey of that name has the row's digest: an answer was lost, or somebody imports beside us.
func (w *importWork) same(ctx context.Context, r row, o *v1alpha1.ApiKey) error {
	was, err := get(ctx, w.k8s, w.namespace, o.Name)
	if err != nil {
		return err
	}
	for _, c := range kube.Credentials(was) {
		if c.Digest == r.digest {
			return nil
		}
	}
	return apierrors.NewAlreadyExists(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), o.Name+" (with another token: give this line another name)")
}

// complain prints problems, but not thousands of them.
func (c *cli) complain(problems []error) {
	for i, p := range problems {
		if i == maxTold {
			c.say("… and %d more", len(problems)-maxTold)
			return
		}
		c.say("%v", p)
	}
}

// progress shows how far it is: a bar at a terminal, else a line now and then.
func (c *cli) progress(all int, done *atomic.Int64) (stop func()) {
	f, ok := c.ErrOut.(*os.File)
	bar := progressbar.NewOptions(all, progressbar.OptionSetWriter(c.ErrOut), progressbar.OptionSetDescription("importing"), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetItsString("keys"), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond))
	terminal := ok && term.IsTerminal(int(f.Fd()))
	ended, ending := make(chan struct{}), make(chan struct{})
	show := func() {
		if terminal {
			_ = bar.Set64(done.Load())
		}
	}
	go func() {
		defer close(ended)
		tick, tell := time.NewTicker(100*time.Millisecond), time.NewTicker(tellEvery)
		defer tick.Stop()
		defer tell.Stop()
		for {
			select {
			case <-ending:
				return
			case <-tick.C:
				show()
			case <-tell.C:
				if !terminal {
					c.say("%d of %d", done.Load(), all)
				}
			}
		}
	}()
	return func() {
		close(ending)
		<-ended
		show()
		if terminal {
			_, _ = fmt.Fprintln(c.ErrOut)
		}
	}
}
