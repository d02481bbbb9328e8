// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kaana/apikey-operator/test/cluster"
)

const (
	pidFile       = "pid"      // the process id of make run, once a reload is possible
	reloadedFile  = "reloaded" // the outcome of the last reload: an error, or nothing
	reloadSignal  = syscall.SIGUSR1
	reloadTimeout = time.Minute
)

var errNotRunning = errors.New("make run is not ready in this folder: start it in another terminal first")

// startReloads restarts the operator at each reloadSignal until ctx is done, and writes the outcome to a file.
func startReloads(
	ctx context.Context,
	c *cluster.Cluster,
	op *cluster.Operator,
	state string,
) (*sync.WaitGroup, error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, reloadSignal)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				reload(ctx, c, op, state)
			}
		}
	})
	return &running, writeFile(filepath.Join(state, pidFile), strconv.Itoa(os.Getpid()))
}

func reload(ctx context.Context, c *cluster.Cluster, op *cluster.Operator, state string) {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	start, outcome := time.Now(), ""
	if err := c.RestartOperator(ctx, op); err != nil {
		outcome = err.Error()
		say("Reload failed: %s", outcome)
	} else {
		say("Restarted the controller and the server in %d ms.", time.Since(start).Milliseconds())
	}
	if err := writeFile(filepath.Join(state, reloadedFile), outcome); err != nil {
		say("%v", err)
	}
}

// requestReload signals the make run of this folder and waits for the outcome.
func requestReload(ctx context.Context, bin string) error {
	state := filepath.Join(bin, "run")
	if unlock, err := lock(filepath.Join(bin, "run.lock")); err == nil { // a make run that is alive holds it
		unlock()
		return errNotRunning
	}
	text, err := os.ReadFile(filepath.Join(state, pidFile))
	if errors.Is(err, os.ErrNotExist) {
		return errNotRunning
	} else if err != nil {
		return fmt.Errorf("find make run: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("find make run: %w", err)
	}
	outcome := filepath.Join(state, reloadedFile)
	if err := os.Remove(outcome); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the last outcome: %w", err)
	}
	if err := syscall.Kill(pid, reloadSignal); err != nil {
		return fmt.Errorf("signal make run: %w", err)
	}
	return await(ctx, outcome)
}

// await returns the outcome of a reload as soon as make run has written it.
func await(ctx context.Context, outcome string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout+5*time.Second)
	defer cancel()
	for {
		text, err := os.ReadFile(outcome)
		switch {
		case err == nil && len(text) == 0:
			return nil
		case err == nil:
			return errors.New(string(text))
		case !errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("read the outcome: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for make run to restart the operator: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
