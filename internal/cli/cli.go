// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/internal/apikey"
)

// The exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3 // verify, explain: the token is not accepted
	exitTimedOut    = 4 // --wait
	exitInterrupted = 130
)

// exit is an error with the exit code of the process.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }

func (e exit) Unwrap() error { return e.err }

// cli is what the commands share. Tests replace the clock, the entropy and the cluster.
type cli struct {
	genericiooptions.IOStreams

	flags  *genericclioptions.ConfigFlags
	prefix string
	format apikey.Format

	now     func() time.Time
	entropy io.Reader
	// connect returns a client, and the Namespace of the command.
	connect func() (client.Client, string, error)
}

// Run runs the command line and returns the exit code. release is the version that the binary reports; if it is empty,
// the binary reports what the Go toolchain recorded.
func Run(ctx context.Context, args []string, streams genericiooptions.IOStreams, release string) int {
	c := &cli{IOStreams: streams, flags: genericclioptions.NewConfigFlags(true), now: time.Now, entropy: rand.Reader}
	c.connect = c.cluster
	return c.run(ctx, args, version(release))
}

func (c *cli) run(ctx context.Context, args []string, release string) int {
	root := c.root(release) //nolint:contextcheck // cobra passes the context to each command
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(c.ErrOut, "error:", err)
	var e exit
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case strings.HasPrefix(err.Error(), "unknown command"): // cobra's own error
		return exitUsage
	case errors.As(err, &e):
		return e.code
	}
	return exitFailed
}

func (c *cli) root(release string) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-apikey",
		Short: "Manage API keys as Kubernetes resources",
		Long: `Manage ApiKeys: create, rotate, suspend and revoke them, and find out why a token is refused.

Exit codes: 0 success; 1 failure; 2 wrong usage; 3 the token is refused (verify, explain); 4 --wait
timed out; 130 interrupted. All flags with which kubectl selects a cluster and a user work here too.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl apikey"},
		Version:       release,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			if c.format, err = apikey.NewFormat(c.prefix); err != nil {
				return exit{exitUsage, fmt.Errorf("--token-prefix: %w", err)}
			}
			return nil
		},
	}
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.ErrOut)
	c.flags.AddFlags(root.PersistentFlags())
	shown := []string{"namespace", "context", "kubeconfig", "as"} // the other flags of kubectl work, but help omits them
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = !slices.Contains(shown, f.Name) })
	root.PersistentFlags().StringVar(&c.prefix, "token-prefix", apikey.DefaultPrefix,
		"prefix of the tokens of this installation")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit{exitUsage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(c.create(), c.list(), c.describe(), c.rotate(), c.suspend(), c.resume(), c.revoke(), c.activity(),
		c.history(), c.verify(), c.explain(), c.importing())
	for _, sub := range root.Commands() {
		checkArgs(sub)
	}
	return root
}

// checkArgs makes wrong arguments end with the exit code for wrong usage.
func checkArgs(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return exit{exitUsage, fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		}
		return nil
	}
}

// notef writes a line for people, beside the output.
func (c *cli) notef(format string, args ...any) { _, _ = fmt.Fprintf(c.ErrOut, format+"\n", args...) }

// printf writes a line of output.
func (c *cli) printf(format string, args ...any) { _, _ = fmt.Fprintf(c.Out, format+"\n", args...) }

// version returns the release, or the version that the Go toolchain recorded in the binary.
func version(release string) string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
