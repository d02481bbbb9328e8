// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// broken returns what is wrong with the links of a page, to pages that are known by their paths.
func broken(dir string, p *page, known map[string]*page) (out []string) {
	for _, l := range p.lines {
		for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(l.text, ""), -1) {
			target, fragment, _ := strings.Cut(m[2], "#")
			if strings.Contains(target, ":") { // https:, mailto:
				continue
			}
			to := p.path
			if target != "" {
				to = filepath.Join(filepath.Dir(p.path), target)
			}
			switch page := known[to]; {
			case strings.HasPrefix(to, "..") || !exists(filepath.Join(dir, to)):
				out = append(out, p.where(l.number)+": there is no "+to)
			case fragment != "" && page == nil:
				out = append(out, p.where(l.number)+": "+to+" is no page, and has no anchors")
			case fragment != "" && !slices.Contains(page.anchors, fragment):
				out = append(out, p.where(l.number)+": "+to+" has no heading #"+fragment)
			}
		}
	}
	return out
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	known := map[string]*page{}
	for _, p := range pages(t) {
		known[p.path] = p
	}
	for _, p := range known {
		for _, problem := range broken(root(t), p, known) {
			t.Error(problem)
		}
	}
	bad := parse("docs/rest.md", "[a](nowhere.md) [b](../README.md#nowhere) [c](#here) `[d](code.md)`\n# Here\n[e](#there) [f](../../etc/passwd)")
	known[bad.path] = bad
	if got := broken(root(t), bad, known); len(got) != 4 {
		t.Errorf("want four broken links, got %q", got)
	}
}

func TestEveryPageIsInTheIndex(t *testing.T) {
	var index *page
	all := pages(t)
	for _, p := range all {
		if p.path == "docs/README.md" {
			index = p
		}
	}
	if index == nil {
		t.Fatal("there is no docs/README.md")
	}
	var linked []string
	for _, l := range index.lines {
		for _, m := range link.FindAllStringSubmatch(l.text, -1) {
			linked = append(linked, filepath.Join("docs", m[2]))
		}
	}
	for _, p := range all {
		if p != index && !slices.Contains(linked, p.path) && !slices.Contains(linked, filepath.Dir(p.path)) {
			t.Errorf("docs/README.md does not lead to %s", p.path)
		}
	}
}

// place is a word in backticks that looks like a path of the repository.
var place = regexp.MustCompile(`^(?:api|cmd|internal|config|charts|hack|docs|test)/[A-Za-z0-9_./*-]+$`)

func TestEveryPathInBackticksExists(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, s := range p.spans() {
			if place.MatchString(s.text) {
				found++
				if !exists(filepath.Join(root(t), s.text)) {
					t.Errorf("%s: there is no %s", p.where(s.number), s.text)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d paths are found", found)
	}
}

var (
	named = regexp.MustCompile("`((?:api|cmd|internal|test|hack)/[A-Za-z0-9_/]+_test\\.go)`((?:,? (?:\"[^\"]+\"|`Test[A-Za-z0-9]+`))*)")
	cases = regexp.MustCompile("\"([^\"]+)\"|`(Test[A-Za-z0-9]+)`")
)

// TestEveryTestThatIsNamedExists reads lines like `test/e2e/leak_test.go` "shows no token", `TestMore`.
func TestEveryTestThatIsNamedExists(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, l := range p.lines {
			for _, m := range named.FindAllStringSubmatch(l.text, -1) {
				text, err := os.ReadFile(filepath.Join(root(t), m[1]))
				if err != nil {
					t.Errorf("%s: %v", p.where(l.number), err)
				}
				for _, c := range cases.FindAllStringSubmatch(m[2], -1) {
					found++
					if name := c[1] + c[2]; !strings.Contains(string(text), name) {
						t.Errorf("%s: %s has no %q", p.where(l.number), m[1], name)
					}
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d tests are named", found)
	}
}

func TestEveryAlertHasARunbook(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "config/prometheus/rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert       string            `json:"alert"`
					Annotations map[string]string `json:"annotations"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	operations, err := os.ReadFile(filepath.Join(root(t), "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	anchors := parse("docs/operations.md", string(operations)).anchors
	const base = "https://github.com/kaana/apikey-operator/blob/main/docs/operations.md#"
	for _, g := range rules.Spec.Groups {
		for _, r := range g.Rules {
			want := strings.ToLower(r.Alert)
			if got := r.Annotations["runbook_url"]; got != base+want {
				t.Errorf("%s: want runbook_url %s, got %q", r.Alert, base+want, got)
			}
			if !slices.Contains(anchors, want) {
				t.Errorf("docs/operations.md has no heading %s", r.Alert)
			}
		}
	}
	if len(rules.Spec.Groups) == 0 {
		t.Error("there are no alerts")
	}
}
