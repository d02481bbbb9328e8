// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sh returns a problem with the syntax of a script, "" when there is none.
func sh(t *testing.T, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-n")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 { // an open here-document is only a warning
		return strings.TrimSpace(string(out)) + " "
	}
	return ""
}

func TestEveryShellBlockParses(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "sh" {
				continue
			}
			found++
			if problem := sh(t, b.text); problem != "" {
				t.Errorf("%s: %s", p.where(b.number), problem)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d blocks are found", found)
	}
	for _, bad := range []string{"echo $(", "cat <<EOF\n", "if true; then"} {
		if sh(t, bad) == "" {
			t.Errorf("%q passes", bad)
		}
	}
}

// command is one command with its arguments, roughly as a shell reads it.
type command struct {
	where string
	words []string
}

var (
	body     = regexp.MustCompile(`(?s)<<'?EOF'?.*?\nEOF\n`)
	note     = regexp.MustCompile(`(?m)(^|\s)#.*$`)
	boundary = regexp.MustCompile(`\n|;|&&|\|\|?|\$\(|&\s`)
	word     = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
	words    = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)
)

// split returns the commands of a script. Quotes are taken off; what the shell would put in stays as it is written.
func split(where, script string) (out []command) {
	script = strings.ReplaceAll(body.ReplaceAllString(script, "\n"), "\\\n", " ")
	for _, c := range boundary.Split(note.ReplaceAllString(quiet(script), ""), -1) {
		if found := words.FindAllString(c, -1); len(found) > 0 {
			for i := range found {
				found[i] = word.ReplaceAllStringFunc(found[i], func(s string) string { return strings.Trim(s, `'"`) })
			}
			out = append(out, command{where, found})
		}
	}
	return out
}

// quiet replaces what would end a command if it were not quoted.
func quiet(script string) string {
	return regexp.MustCompile(`'[^'\n]*'`).ReplaceAllStringFunc(script, func(s string) string {
		return strings.NewReplacer(";", "_", "|", "_", "#", "_", "&", "_", "$(", "__").Replace(s)
	})
}

// commands returns the commands of all sh blocks, and those in backticks that start with one of these programs.
func commands(t *testing.T, programs ...string) (out []command) {
	t.Helper()
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language == "sh" {
				out = append(out, split(p.where(b.number), b.text)...)
			}
		}
		for _, s := range p.spans() {
			if name, _, more := strings.Cut(s.text, " "); more && slices.Contains(programs, name) {
				out = append(out, split(p.where(s.number), s.text)...)
			}
		}
	}
	return out
}

func TestEveryTargetOfMakeExists(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, c := range commands(t, "make") {
		if c.words[0] != "make" {
			continue
		}
		for _, w := range c.words[1:] {
			if strings.HasPrefix(w, "-") || strings.Contains(w, "=") {
				continue
			}
			found++
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(w) + `:`).Match(makefile) {
				t.Errorf("%s: the Makefile has no target %s", c.where, w)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d targets are found", found)
	}
}

func TestEveryFileThatACommandNamesExists(t *testing.T) {
	found := 0
	for _, c := range commands(t, "kubectl", "helm") {
		for i, w := range c.words {
			if kustomize := w == "-k" && c.words[0] == "kubectl"; i+1 == len(c.words) || !kustomize && w != "-f" && !place.MatchString(w) {
				continue
			}
			file := w
			if w == "-k" || w == "-f" {
				file = c.words[i+1]
			}
			if w != "-k" && !place.MatchString(file) { // a file of the reader's
				continue
			}
			found++
			if !exists(filepath.Join(root(t), file)) {
				t.Errorf("%s: there is no %s", c.where, file)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d files are found", found)
	}
}

// TestEveryFlagOfThePluginExists asks the plugin itself, as it was built, for the flags of each command that a page shows.
func TestEveryFlagOfThePluginExists(t *testing.T) {
	program := filepath.Join(root(t), "bin/kubectl-apikey")
	if !exists(program) {
		t.Fatal("no bin/kubectl-apikey: run make build")
	}
	help := map[string]string{}
	ask := func(sub string) string {
		if help[sub] == "" {
			out, err := exec.CommandContext(t.Context(), program, sub, "--help").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "kubectl apikey "+sub) {
				t.Fatalf("kubectl apikey %s --help: %v\n%s", sub, err, out)
			}
			help[sub] = string(out)
		}
		return help[sub]
	}
	list, err := exec.CommandContext(t.Context(), program, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl apikey --help: %v\n%s", err, list)
	}
	for _, c := range commands(t, "kubectl") {
		if len(c.words) < 3 || c.words[0] != "kubectl" || c.words[1] != "apikey" || strings.HasPrefix(c.words[2], "-") {
			continue
		}
		if !regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(c.words[2]) + ` `).Match(list) {
			t.Errorf("%s: kubectl apikey has no command %s", c.where, c.words[2])
			continue
		}
		for _, w := range c.words[3:] {
			flag, _, _ := strings.Cut(w, "=")
			if strings.HasPrefix(w, "-") && w != "-" && w != "--" && !regexp.MustCompile(`(?m)^ +(-\w, )?`+regexp.QuoteMeta(flag)+`[ ,\[]`).MatchString(ask(c.words[2])) {
				t.Errorf("%s: kubectl apikey %s has no flag %s", c.where, c.words[2], flag)
			}
		}
	}
}
