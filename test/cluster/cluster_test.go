// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/test/cluster"
)

// TestMain lets this program be one that starts a control plane and waits for its end.
func TestMain(m *testing.M) {
	state := os.Getenv("CLUSTER_TEST")
	if state == "" {
		os.Exit(m.Run())
	}
	if _, err := cluster.StartForTest(context.Background(), state); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("started")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// TestNothingOutlivesAKilledProcess kills a process that runs a control plane, as a test's deadline or a closed terminal
// does.
func TestNothingOutlivesAKilledProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	state := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CLUSTER_TEST="+state)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if s := bufio.NewScanner(out); !s.Scan() || s.Text() != "started" {
		t.Fatal(s.Text())
	}
	for _, program := range []string{"etcd", "kube-apiserver", "kube-controller-manager"} {
		if !strings.Contains(fmt.Sprint(running(t, state)), program) {
			t.Errorf("%s does not run", program)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	_ = in.Close()
	for deadline := time.Now().Add(10 * time.Second); len(running(t, state)) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("these outlive the process that started them: %v", running(t, state))
		}
	}
}

// running returns the programs whose arguments name the folder.
func running(t *testing.T, folder string) (programs []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended meanwhile
		}
		if program, args, _ := strings.Cut(string(line), "\x00"); strings.Contains(args, folder) {
			programs = append(programs, filepath.Base(program))
		}
	}
	return programs
}
