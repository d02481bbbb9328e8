// SPDX-License-Identifier: Apache-2.0

// Command kubectl-apikey is the kubectl plugin `kubectl apikey`; package cli implements it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kaana/apikey-operator/internal/cli"
)

// release is set by the linker (-X main.release=v0.1.0).
var release string //nolint:gochecknoglobals // the linker sets nothing else

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	code := cli.Run(ctx, os.Args[1:], streams, release)
	stop()
	os.Exit(code)
}
