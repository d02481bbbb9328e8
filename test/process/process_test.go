// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/test/process"
)

// TestMain lets this program be a process that asks for addresses or starts children, and then waits for its end.
func TestMain(m *testing.M) {
	switch os.Getenv("PROCESS_TEST") {
	case "addresses":
		for range 200 {
			fmt.Println(must(process.Address()))
		}
	case "children":
		for range 20 {
			cmd := exec.Command("sleep", "600")
			if err := process.Start(cmd, syscall.SIGKILL); err != nil {
				panic(err)
			}
			fmt.Println(cmd.Process.Pid)
		}
		sleep := must(exec.LookPath("sleep"))
		cmd := exec.Command(must(process.Tied(os.TempDir(), sleep)), "600")
		process.Lasting(func() {
			if err := cmd.Start(); err != nil {
				panic(err)
			}
		})
		for !strings.HasPrefix(string(must(os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid)))), sleep) {
			time.Sleep(time.Millisecond) // until the script has become the program
		}
		fmt.Println(cmd.Process.Pid)
	default:
		os.Exit(m.Run())
	}
	fmt.Println("done")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// another runs this program as another process, until its input ends, and returns its lines.
func another(t *testing.T, what string) (lines []string, cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PROCESS_TEST="+what, "TMPDIR="+t.TempDir())
	in := must(cmd.StdinPipe())
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	for s := bufio.NewScanner(out); s.Scan() && s.Text() != "done"; {
		lines = append(lines, s.Text())
	}
	return lines, cmd
}

// TestNoPortIsGivenOutTwice asks in several processes at once, and binds nothing that it gets: a program that is
// started takes seconds to do so.
func TestNoPortIsGivenOutTwice(t *testing.T) {
	var mu sync.Mutex
	var all []string
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			lines, _ := another(t, "addresses")
			mu.Lock()
			defer mu.Unlock()
			all = append(all, lines...)
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, at := range all {
		if seen[at] {
			t.Errorf("%s was given out twice", at)
		}
		seen[at] = true
		if !strings.HasPrefix(at, "127.0.0.1:1") && !strings.HasPrefix(at, "127.0.0.1:2") {
			t.Errorf("%s is in the range of the system's own choice", at)
		}
	}
	if len(all) != 1000 {
		t.Errorf("%d addresses, want 1000", len(all))
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", all[0])
	if err != nil {
		t.Fatal("what is given out is not free:", err)
	}
	_ = l.Close()
}

func TestChildrenEndWithAKilledParent(t *testing.T) {
	pids, parent := another(t, "children")
	if len(pids) != 21 {
		t.Fatalf("%d children, want 21", len(pids))
	}
	alive := func() (n int) {
		for _, pid := range pids {
			if state, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(state), ") Z ") {
				n++
			}
		}
		return n
	}
	if alive() != 21 {
		t.Fatal("the children do not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); alive() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d children outlive their parent", alive())
		}
	}
}
