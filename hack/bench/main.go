// SPDX-License-Identifier: Apache-2.0

// Command bench is `make bench`: it measures the doors against bare programs that do the same
// without a verdict, in one run on one machine, and prints ratios. The server under test is pinned
// to one core and the generator to another. docs/performance.md explains it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kaana/apikey-operator/test/issuer"
)

const (
	jwts = 60_000 // more than are verified in a window, so that each is new

	serverCore, generatorCore = "0", "1"

	// busy is the share of its core from which on a server, and not its generator, decides the rate.
	busy = 0.90
)

var (
	window = flag.Duration("window", 3*time.Second, "how long each measurement takes")
	many   = flag.Int("many", 1_000_000, "how many keys are many")
	only   = flag.String("only", "", "measure only the rows of doors whose name has this")
	child  = flag.String("child", "", "what this process is: serve or generate; for itself only")
	what   = flag.String("what", "", "what to serve or generate")
	keys   = flag.Int("keys", 1, "how many keys there are")
	at     = flag.String("at", "", "address to generate requests for")
)

func main() {
	flag.Parse()
	var err error
	switch *child {
	case "serve":
		err = serve(*what, *keys)
	case "generate":
		err = generate(*what, *at, *keys)
	case "lookups":
		err = lookups()
	case "recording":
		err = recording(*window)
	case "cluster":
		err = clusterRows()
	default:
		err = compare()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// figures are what one measurement gives.
type figures struct {
	Rate     float64       // requests a second
	P50, P99 time.Duration // latency
	CPU      time.Duration // of the server, a request
	Busy     float64       // the share of its core that the server used, 0 to 1
	Bad      int64         // answers that were not what was expected
}

// row is one comparison: what is served and asked for, and the floor beside it.
type row struct {
	name                        string
	serve, load                 string
	keys                        int
	floorServe, floorLoad       string
	atLeast, atMostCPU, atMostP float64 // budgets as ratios; 0: none
}

func compare() (failed error) {
	finish, err := prepare()
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, finish()) }()
	rows := []row{
		{"forward-auth, key, 1 key, plaintext", "doors", "auth", 1, "bare", "auth", 0.80, 0, 0},
		{"forward-auth, key, 10,000 keys", "doors", "auth", 10_000, "bare", "auth", 0.80, 0, 0},
		{fmt.Sprintf("forward-auth, key, %d keys", *many), "doors", "auth", *many, "bare", "auth", 0.75, 0, 3},
		{"forward-auth, wrong key, 10,000 keys", "doors", "wrong", 10_000, "bare-refusal", "wrong", 0.80, 0, 0},
		{"forward-auth, key, TLS 1.3 vs. plaintext", "doors-tls", "auth-tls", 10_000, "bare", "auth", 0.70, 0, 0},
		{"forward-auth, JWT that is remembered", "doors", "jwt", 10_000, "bare", "auth", 0.80, 0, 0},
		{"forward-auth, JWT that is new", "doors", "jwt-new", 10_000, "bare", "auth", 0.14, 0, 0},
		{"ext_authz, key, 10,000 keys, vs. bare grpc-go", "doors-grpc", "grpc", 10_000, "bare-grpc", "grpc", 0.85, 1.2, 0},
	}
	fmt.Printf(
		"Each row: %v of the bare program, %v of ours, %v of the bare program again. "+
			"Server on core %s, generator on core %s.\n\n",
		*window,
		*window,
		*window,
		serverCore,
		generatorCore,
	)
	fmt.Printf(
		"%-48s %10s %10s %7s %7s %9s %9s %7s %11s  %s\n",
		"",
		"bare req/s",
		"ours req/s",
		"ratio",
		"budget",
		"bare p99",
		"ours p99",
		"CPU",
		"busy",
		"",
	)
	rows = slices.DeleteFunc(rows, func(r row) bool { return !strings.Contains(r.name, *only) })
	missed, request := 0, time.Duration(0)
	for i, r := range rows {
		ok, cpu, err := r.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if i == 0 {
			request = cpu
		}
		if !ok {
			missed++
		}
	}
	var errs []error
	if *only == "" {
		errs = append(
			errs,
			lookups(),
			self("", "-child", "recording", "-window", request.String()),
			self("", "-child", "cluster"),
		)
	}
	if missed > 0 {
		errs = append(errs, fmt.Errorf("%d rows are beyond their budget", missed))
	}
	return errors.Join(errs...)
}

// prepare makes a folder with a certificate, starts an issuer, and signs tokens.
func prepare() (finish func() error, err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("BENCH_FOLDER", dir); err != nil {
		return nil, err
	}
	if _, err := benchFolder(); err != nil {
		return nil, err
	}
	i, err := issuer.Start(context.Background(), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("BENCH_ISSUER", i.URL); err != nil {
		return nil, err
	}
	fmt.Printf("Signing %d tokens …\n", jwts)
	key, _ := i.Key()
	head := i.Header()
	signed := make([]string, jwts)
	var wg sync.WaitGroup
	for part := range 2 {
		wg.Go(func() {
			for n := part; n < jwts; n += 2 {
				signed[n] = issuer.Sign(key, head, issuer.With(i.Claims(), "sub", fmt.Sprint("auth0|", n)))
			}
		})
	}
	wg.Wait()
	if err := os.WriteFile(filepath.Join(dir, "jwts"), []byte(strings.Join(signed, "\n")), 0o600); err != nil {
		return nil, err
	}
	return func() error { return errors.Join(i.Stop(), os.RemoveAll(dir)) }, nil
}

// self runs this program as a child on a core, or on any.
func self(core string, args ...string) error {
	cmd := command(core, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func command(core string, args ...string) *exec.Cmd {
	args = append([]string{os.Args[0], "-window", window.String(), "-many", fmt.Sprint(*many)}, args...)
	if core != "" {
		args = append([]string{"taskset", "-c", core}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // it ends with its input or its window
	cmd.Stderr = os.Stderr
	return cmd
}

// measure prints the row, and returns whether it is within its budget and the CPU of a bare request.
func (r row) measure() (bool, time.Duration, error) {
	bare, err := start(r.floorServe, 1)
	if err != nil {
		return false, 0, err
	}
	defer bare.stop()
	ours, err := start(r.serve, r.keys)
	if err != nil {
		return false, 0, err
	}
	defer ours.stop()
	var got [3]figures
	for i, m := range []struct {
		s    *server
		load string
		keys int
	}{{bare, r.floorLoad, 1}, {ours, r.load, r.keys}, {bare, r.floorLoad, 1}} {
		if got[i], err = m.s.measure(m.load, m.keys); err != nil {
			return false, 0, err
		}
	}
	floor := (got[0].Rate + got[2].Rate) / 2
	floorP99 := (got[0].P99 + got[2].P99) / 2
	floorCPU := (got[0].CPU + got[2].CPU) / 2
	ratio, cpu, p99 := got[1].Rate/floor, float64(got[1].CPU)/float64(floorCPU), float64(got[1].P99)/float64(floorP99)
	floorBusy := min(got[0].Busy, got[2].Busy)
	verdict := r.verdict(got[1], ratio, cpu, p99, min(floorBusy, got[1].Busy))
	fmt.Printf(
		"%-48s %10.0f %10.0f %7.2f %7.2f %9v %9v %6.2f× %4.0f%%, %3.0f%%  %s\n",
		r.name,
		floor,
		got[1].Rate,
		ratio,
		r.atLeast,
		floorP99.Round(time.Microsecond),
		got[1].P99.Round(time.Microsecond),
		cpu,
		floorBusy*100,
		got[1].Busy*100,
		verdict,
	)
	ok := strings.HasPrefix(verdict, "ok")
	return ok, floorCPU, nil
}

// verdict compares the ratios with the budgets. Rates count only when both servers, and not their generator, decided
// them; the CPU of a request counts in any case.
func (r row) verdict(ours figures, rate, cpu, p99, least float64) string {
	within := (r.atMostCPU == 0 || cpu <= r.atMostCPU) && (r.atMostP == 0 || p99 <= r.atMostP)
	switch {
	case ours.Bad > 0:
		return fmt.Sprintf("WRONG (%d answers)", ours.Bad)
	case !within, least >= busy && rate < r.atLeast:
		return fmt.Sprintf("BEYOND (p99 %.1f ×, CPU %.2f ×)", p99, cpu)
	case least >= busy:
		return "ok"
	case r.atMostCPU > 0:
		return "ok by CPU (the generator was the limit)"
	}
	return "NOT COMPARED (the generator was the limit)"
}

// server is a child that serves.
type server struct {
	cmd     *exec.Cmd
	stdin   *bufio.Writer
	close   func() error
	out     *bufio.Scanner
	address string
}

func start(what string, keys int) (*server, error) {
	s := &server{cmd: command(serverCore, "-child", "serve", "-what", what, "-keys", fmt.Sprint(keys))}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.stdin, s.close, s.out = bufio.NewWriter(in), in.Close, bufio.NewScanner(out)
	if !s.out.Scan() {
		return nil, fmt.Errorf("server %s did not start", what)
	}
	s.address = s.out.Text()
	return s, nil
}

// cpu asks the server how much time it has had.
func (s *server) cpu() (time.Duration, error) {
	if _, err := s.stdin.WriteString("cpu\n"); err != nil {
		return 0, err
	}
	if err := s.stdin.Flush(); err != nil {
		return 0, err
	}
	if !s.out.Scan() {
		return 0, fmt.Errorf("server ended")
	}
	return time.ParseDuration(strings.TrimSpace(s.out.Text()))
}

func (s *server) measure(load string, keys int) (figures, error) {
	before, err := s.cpu()
	if err != nil {
		return figures{}, err
	}
	out, err := command(
		generatorCore,
		"-child",
		"generate",
		"-what",
		load,
		"-at",
		s.address,
		"-keys",
		fmt.Sprint(keys),
	).Output()
	if err != nil {
		return figures{}, err
	}
	after, err := s.cpu()
	if err != nil {
		return figures{}, err
	}
	var f struct {
		figures
		Total int64
		Took  time.Duration
	}
	if err := json.Unmarshal(out, &f); err != nil {
		return figures{}, err
	}
	f.CPU = (after - before) / time.Duration(max(f.Total, 1))
	f.Busy = float64(after-before) / float64(f.Took)
	return f.figures, nil
}

func (s *server) stop() {
	_ = s.close()
	_ = s.cmd.Wait()
}
