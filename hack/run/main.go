// SPDX-License-Identifier: Apache-2.0

// Command run is `make run`: a control plane, the operator's two processes, two tenants and the
// samples, on this machine, until Ctrl-C. With -reload it is `make reload`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kaana/apikey-operator/test/cluster"
	"github.com/kaana/apikey-operator/test/issuer"
)

const readyTimeout = 3 * time.Minute

func main() {
	bin := flag.String("bin", "bin", "folder of what was built")
	k8s := flag.String("k8s", "bin/k8s", "folder of the control plane's programs")
	port := flag.Int("port", 0, "HTTPS port; 0 takes a free one")
	again := flag.Bool(
		"reload",
		false,
		"restart the operator of the make run in this folder, and wait until it is ready",
	)
	flag.Parse()
	// SIGHUP arrives when the terminal is closed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	go func() { endWithMake(); stop() }()
	signal.Ignore(syscall.SIGPIPE) // a closed pipe must not keep us from stopping the processes that we started
	name, do := "make run", func() error { return run(ctx, *bin, *k8s, *port) }
	if *again {
		name, do = "make reload", func() error { return requestReload(ctx, *bin) }
	}
	if err := do(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		stop()
		os.Exit(1)
	}
}

// endWithMake returns when the process that started this one, make, has ended without ending this one.
func endWithMake() {
	for parent := os.Getppid(); os.Getppid() == parent; {
		time.Sleep(time.Second)
	}
}

// tenants are the Namespaces to make, with the tenant of each.
var tenants = [][2]string{{"acme-prod", "acme"}, {"acme-dev", "acme"}, {"globex-prod", "globex"}}

func run(ctx context.Context, bin, k8s string, port int) (failed error) {
	start := time.Now()
	state := filepath.Join(bin, "run")
	unlock, err := lock(filepath.Join(bin, "run.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := errors.Join(os.RemoveAll(state), os.MkdirAll(state, 0o700)); err != nil {
		return fmt.Errorf("make %s anew: %w", state, err)
	}
	setUp, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()

	say("Starting a control plane …")
	c, err := cluster.Start(setUp, cluster.Options{Binaries: k8s, State: state, Port: port})
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, c.Stop(), tidy(state)) }()
	say("Installing ApiKeys, permissions and two tenants …")
	if err := c.Install(setUp, "."); err != nil {
		return err
	}
	say("Starting the controller and the server …")
	op, err := c.StartOperator(setUp, filepath.Join(bin, "apikey-operator"), say)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, op.Stop()) }()
	if err := fill(setUp, c); err != nil {
		return err
	}
	if err := writeEnv(state, bin, k8s, c, op); err != nil {
		return err
	}
	reloads, err := startReloads(ctx, c, op, state)
	if err != nil {
		return err
	}
	defer reloads.Wait()
	printReady(state, op, time.Since(start))
	liven(ctx, c, op)
	<-ctx.Done()
	say("\nStopping …")
	return nil
}

// printReady says what to do next.
func printReady(state string, op *cluster.Operator, took time.Duration) {
	say("Ready after %.0f s. In a second shell:\n", took.Seconds())
	fmt.Printf("  . %s\n", relative(filepath.Join(state, "env")))
	fmt.Println(`  TOKEN=$(kubectl get secret quickstart -n acme-prod -o jsonpath='{.data.token}' | base64 -d)`)
	fmt.Println(`  curl --cacert "$KAANA_CA" -H "Authorization: Bearer $TOKEN" "$KAANA_URL/api/user"`)
	say(
		"\nSettings > API Keys: %s/settings/api-keys (sign in with one click as a local account; "+
			"the browser will not know the certificate).",
		op.PagesURL,
	)
	say("The REST API is described at %s/api/docs.", op.URL)
	tellOfSamples()
	say(
		"Logs are in %s. make reload restarts the operator from the current code. Ctrl-C ends everything.",
		relative(filepath.Join(state, "log")),
	)
}

// tidy removes keys and kubeconfigs, which are of no use any more. The logs may be.
func tidy(state string) (failed error) {
	files, err := filepath.Glob(filepath.Join(state, "*"))
	if err != nil {
		return fmt.Errorf("tidy up: %w", err)
	}
	for _, f := range files {
		if filepath.Base(f) != "log" {
			failed = errors.Join(failed, os.RemoveAll(f))
		}
	}
	return failed
}

// lock sees to it that there is one make run in a folder at a time.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(
			errors.New("another make run is going on in this folder: end it by Ctrl-C first"),
			f.Close(),
		)
	}
	return func() { _ = f.Close() }, nil
}

// fill makes the tenants' Namespaces and the samples, and waits until their tokens are delivered.
func fill(ctx context.Context, c *cluster.Cluster) error {
	commands := [][]string{}
	for _, t := range tenants {
		commands = append(
			commands,
			[]string{"create", "namespace", t[0]},
			[]string{"label", "namespace", t[0], "auth.kaana.com/tenant=" + t[1]},
		)
	}
	commands = append(commands, []string{"apply", "-k", "config/samples"},
		[]string{"wait", "--for=condition=Ready", "--timeout=60s", "-n", "acme-prod", "apikeys", "--all"})
	for _, args := range commands {
		if _, err := c.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// relative returns the path as seen from the working folder, where that is possible.
func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil {
			return rel
		}
	}
	return path
}

// writeEnv writes the shell exports.
func writeEnv(state, bin, k8s string, c *cluster.Cluster, op *cluster.Operator) error {
	lines := []string{
		"# Made by make run; gone when it ends.",
		"export KUBECONFIG=" + quote(c.Kubeconfig),
		"export KAANA_URL=" + quote(op.URL),
		"export KAANA_CA=" + quote(op.CAFile),
		"export KAANA_ISSUER=" + quote(op.Issuer.URL),
		"export KAANA_AUDIENCE=" + quote(issuer.Audience),
		"export PATH=" + quote(bin) + ":" + quote(k8s) + `:"$PATH" # kubectl, and kubectl apikey`,
	}
	return writeFile(filepath.Join(state, "env"), strings.Join(lines, "\n")+"\n")
}

// writeFile writes a file completely or not at all.
func writeFile(file, text string) error {
	if err := os.WriteFile(file+".part", []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(file), err)
	}
	return os.Rename(file+".part", file)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
