// SPDX-License-Identifier: Apache-2.0

// Command apikey-operator is both processes of the operator: `controller` makes credentials and
// Secrets of ApiKeys, `server` gives verdicts on presented credentials.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	_ "time/tzdata" // an image made from nothing has no time zones, and spec.rotation.timeZone needs them

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // nor the root certificates that issuers are verified with
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kaana/apikey-operator/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "apikey-operator:", strings.ReplaceAll(err.Error(), "\n", " "))
		stop()
		os.Exit(1)
	}
}

// command returns the command line.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "apikey-operator",
		Short:         "API keys as Kubernetes resources",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	var configFile, kubeconfig string
	root.PersistentFlags().StringVar(
		&configFile,
		"config",
		"",
		"configuration file (YAML); without it the defaults hold",
	)
	root.PersistentFlags().StringVar(&kubeconfig, "kubeconfig", "",
		"kubeconfig file; without it $KUBECONFIG, or the Pod's own ServiceAccount")

	root.AddCommand(
		&cobra.Command{
			Use: "controller", Short: "Make credentials and Secrets of ApiKeys", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := config.LoadController(configFile)
				if err != nil {
					return err
				}
				return runController(cmd.Context(), cfg, kubeconfig, logger(cfg.LogLevel))
			},
		},
		&cobra.Command{
			Use: "server", Short: "Give verdicts on presented credentials, over HTTPS", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := config.LoadServer(configFile)
				if err != nil {
					return err
				}
				return runServer(cmd.Context(), cfg, kubeconfig, logger(cfg.LogLevel))
			},
		},
		checkCommand(), trustCommand(&kubeconfig))
	return root
}

// logger returns the process's log, and makes the libraries write to it too.
func logger(level slog.Level) *slog.Logger {
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	klog.SetSlogLogger(log)
	return log
}

// release is set by the linker (-X main.release=v0.1.0).
var release string //nolint:gochecknoglobals // the linker sets nothing else

// version is what the linker was told, or what the Go toolchain stamped into the binary.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
