// SPDX-License-Identifier: Apache-2.0

// Package cli implements the kubectl plugin `kubectl apikey`. It acts with its user's own Kubernetes permissions and
// nothing else. Tokens are read from standard input, never from an argument that other users of the machine could see.
package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

// The exit codes.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3 // verify, explain: the token is not accepted
	exitWaited  = 4 // --wait: it did not happen in time
	exitStopped = 130
)

// exit is an error with the code that the process is to end with.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }

func (e exit) Unwrap() error { return e.err }

// Run runs the command line and returns the exit code. release is the version that the binary reports; empty: what
// the Go toolchain recorded.
func Run(ctx context.Context, args []string, streams genericiooptions.IOStreams, release string) int {
	root := command(streams, version(release)) //nolint:contextcheck // cobra hands the context to each command
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitFailed
	var e exit
	if errors.As(err, &e) {
		code = e.code
	}
	if ctx.Err() != nil {
		code = exitStopped
	}
	if strings.HasPrefix(err.Error(), "unknown command") { // cobra's own
		code = exitUsage
	}
	_, _ = fmt.Fprintln(streams.ErrOut, "error:", err)
	return code
}

// cli is what the commands share.
type cli struct {
	genericiooptions.IOStreams

	flags  *genericclioptions.ConfigFlags
	format apikey.Format
	prefix string
}

func command(streams genericiooptions.IOStreams, release string) *cobra.Command {
	c := &cli{IOStreams: streams, flags: genericclioptions.NewConfigFlags(true)}
	root := &cobra.Command{
		Use:   "kubectl-apikey",
		Short: "API keys as Kubernetes resources",
		Long: `Manage ApiKeys: make, rotate, suspend and revoke them, and find out why a token is refused.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the token is refused (verify, explain); 4 it did not happen in time (--wait);
130 interrupted. All flags of kubectl that choose a cluster and a user work here too.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl apikey"},
		Version:       release,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			if c.format, err = apikey.NewFormat(c.prefix); err != nil {
				return exit{exitUsage, err}
			}
			return nil
		},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	c.flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { // those of kubectl all work; these are worth a line in every help
		f.Hidden = !slices.Contains([]string{"namespace", "context", "kubeconfig", "as"}, f.Name)
	})
	root.PersistentFlags().StringVar(&c.prefix, "token-prefix", apikey.DefaultPrefix, "what the installation's tokens start with")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit{exitUsage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(c.create(), c.list(), c.describe(), c.rotate(), c.suspend(), c.resume(), c.revoke(), c.activity(), c.verify(), c.explain(), c.importing())
	for _, sub := range root.Commands() {
		strict(sub)
	}
	return root
}

// strict makes wrong arguments wrong usage.
func strict(cmd *cobra.Command) {
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return exit{exitUsage, fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
			}
			return nil
		}
	}
}

// connect returns a client, and the Namespace that is meant when none is named.
func (c *cli) connect() (client.Client, string, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS = -1 // the API server has its own fairness, and import has a bound
	config.WarningHandler = rest.NewWarningWriter(c.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	namespace, _, err := c.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, "", fmt.Errorf("register types: %w", err)
	}
	k8s, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, "", fmt.Errorf("reach the cluster: %w", err)
	}
	return k8s, namespace, nil
}

// names completes the names of ApiKeys.
func (c *cli) names(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	k8s, namespace, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var list v1alpha1.ApiKeyList
	if err := k8s.List(cmd.Context(), &list, client.InNamespace(namespace), client.Limit(chunk)); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for i := range list.Items {
		if name := list.Items[i].Name; !strings.Contains(" "+strings.Join(args, " ")+" ", " "+name+" ") {
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// say writes a line for people, beside the output.
func (c *cli) say(format string, args ...any) { _, _ = fmt.Fprintf(c.ErrOut, format+"\n", args...) }

// print writes a line of output.
func (c *cli) print(format string, args ...any) { _, _ = fmt.Fprintf(c.Out, format+"\n", args...) }

// version returns the release, or what the Go toolchain recorded in the binary.
func version(release string) string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
