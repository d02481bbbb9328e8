// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files again")

// notes renders what Helm prints after an installation. "helm template" leaves it out; a dry run prints it after the
// manifests and needs no cluster. The tag is fixed, so that a release does not change the golden files.
func notes(t *testing.T, with string) string {
	t.Helper()
	out := must(t, "", "helm", "install", "apikey-operator", chart, "-n", "apikey-system", "--dry-run=client",
		"--kubeconfig", os.DevNull, "--set", "image.tag=v1.2.3", "-f", with)
	_, text, found := strings.Cut(out, "\nNOTES:\n")
	if !found {
		t.Fatalf("Helm prints no notes:\n%s", out)
	}
	return strings.TrimSpace(text) + "\n"
}

// TestNotesReadAsTheyShould compares the notes with a golden file for each file of values. After a change, run
// go test ./test/chart -run TestNotesReadAsTheyShould -update.
func TestNotesReadAsTheyShould(t *testing.T) {
	for _, with := range values(t) {
		name := strings.TrimSuffix(filepath.Base(with), "-values.yaml")
		if with == os.DevNull {
			name = "default"
		}
		t.Run(name, func(t *testing.T) {
			got := notes(t, with)
			if problem := unreadable(t, got); problem != "" {
				t.Errorf("a shell cannot read the commands: %s", problem)
			}
			golden := filepath.Join("testdata", "notes-"+name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; write it with -update", err)
			}
			if got != string(want) {
				t.Errorf("%s differs from the notes; run with -update and see git diff:\n%s", golden, got)
			}
		})
	}
}

// unreadable returns what a shell objects to in the commands of the notes, which are indented; "" if nothing.
func unreadable(t *testing.T, text string) string {
	t.Helper()
	var script strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			script.WriteString(line)
		}
	}
	if script.Len() == 0 {
		return "there are none"
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-n")
	cmd.Stdin = strings.NewReader(script.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return string(out)
	}
	return ""
}
