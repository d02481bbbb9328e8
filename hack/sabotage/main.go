// SPDX-License-Identifier: Apache-2.0

// Command sabotage breaks the code in small ways, one at a time, and wants a named test to turn red
// for each: a test that cannot fail is a defect. The tree itself is not touched; the go command is
// given an overlay.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// breakage is one small wrong: the one place in the file that reads so is made to read otherwise.
type breakage struct {
	file, from, to string
	pkg, test      string // what must fail
	focus          string // of a ginkgo suite; empty: all of it
}

func main() {
	caught := 0
	only := strings.Join(os.Args[1:], " ") // breakages of files whose path has this; empty: all
	breakages := slices.DeleteFunc(breakages, func(b breakage) bool { return !strings.Contains(b.file, only) })
	for i, b := range breakages {
		err := b.try()
		verdict := "caught by " + b.test
		if err != nil {
			verdict = "NOT CAUGHT: " + err.Error()
		} else {
			caught++
		}
		fmt.Printf("%2d %s: %s\n   %s\n", i+1, b.file, oneLine(b.to), verdict)
	}
	fmt.Printf("%d of %d caught\n", caught, len(breakages))
	if caught != len(breakages) {
		os.Exit(1)
	}
}

func oneLine(s string) string {
	if s == "" {
		return "(removed)"
	}
	return strings.Join(strings.Fields(s), " ")
}

// try returns an error unless the breakage turns its test red.
func (b breakage) try() error {
	text, err := os.ReadFile(b.file)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), b.from); n != 1 {
		return fmt.Errorf("%q stands in the file %d times, want once: fix the list", b.from, n)
	}
	dir, err := os.MkdirTemp("", "sabotage")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	broken := filepath.Join(dir, filepath.Base(b.file))
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), b.from, b.to, 1)), 0o600); err != nil {
		return err
	}
	original, err := filepath.Abs(b.file)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: broken}})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return err
	}
	cmd, err := b.command(dir, file)
	if err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return errors.New("the test passes all the same")
	case !strings.Contains(string(out), "--- FAIL: "+b.test):
		return fmt.Errorf("the test did not run: %s", oneLine(string(out)))
	}
	return nil
}

// command is the test with the breakage. What starts the binary is given a broken one.
func (b breakage) command(dir, overlay string) (*exec.Cmd, error) {
	args := []string{"test", "-vet=off", "-overlay", overlay, "-run", "^" + b.test + "$", "./" + b.pkg}
	if b.focus != "" {
		args = append(args, "-ginkgo.focus", b.focus)
	}
	cmd := exec.Command("go", args...) //nolint:noctx // runs go test on this repository
	if b.pkg != e2e {
		return cmd, nil
	}
	binary := filepath.Join(dir, "apikey-operator")
	//nolint:noctx // builds this repository
	if out, err := exec.Command(
		"go",
		"build",
		"-overlay",
		overlay,
		"-o",
		binary,
		"./cmd/apikey-operator",
	).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("it does not compile: %s", oneLine(string(out)))
	}
	cmd.Env = append(os.Environ(), "KAANA_OPERATOR="+binary)
	return cmd, nil
}
