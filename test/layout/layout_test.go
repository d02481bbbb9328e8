// SPDX-License-Identifier: Apache-2.0

// Package layout holds the architecture as tests: which package may import which.
package layout_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/kaana/apikey-operator/"

// floors are the packages, lowest first. A package imports only packages of lower floors; packages of the same floor do
// not import each other.
var floors = [][]string{
	{"api/v1alpha1", "config/policy", "internal/clock", "internal/denial", "internal/trust"},
	{"internal/apikey", "internal/activity", "internal/web/session"},
	{"internal/apikey/kube", "internal/authn"},
	{
		"internal/keyring/slab", "internal/controller", "internal/admission", "internal/authn/jwt", "internal/manage",
		"internal/bootstrap",
	},
	{"internal/keyring", "internal/config", "internal/door"},
	{"internal/door/envoy", "internal/rest", "internal/cli"},
	{"internal/web"},
	{"cmd/apikey-operator", "cmd/kubectl-apikey"},
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestImportsPointDown(t *testing.T) {
	floor := map[string]int{}
	for i, packages := range floors {
		for _, p := range packages {
			floor[p] = i
		}
	}
	for _, p := range list(t, module+"api/...", module+"config/...", module+"internal/...", module+"cmd/...") {
		name := strings.TrimPrefix(p, module)
		at, ok := floor[name]
		if !ok {
			t.Errorf("%s has no floor: say in this test where it belongs", name)
			continue
		}
		for _, dep := range list(t, "-f", `{{join .Imports "\n"}}`, p) {
			to, ours := strings.CutPrefix(dep, module)
			if ours && floor[to] >= at {
				t.Errorf("%s (floor %d) imports %s (floor %d)", name, at, to, floor[to])
			}
		}
	}
}

// TestOnlyTheEnvoyEndpointNeedsGRPC keeps the protobufs of one proxy out of the other endpoints.
func TestOnlyTheEnvoyEndpointNeedsGRPC(t *testing.T) {
	for _, p := range []string{"internal/door", "internal/rest", "internal/web", "internal/manage"} {
		for _, dep := range list(t, "-f", `{{join .Imports "\n"}}`, module+p) {
			if strings.HasPrefix(dep, "google.golang.org/grpc") || strings.Contains(dep, "/envoy") {
				t.Errorf("%s imports %s", p, dep)
			}
		}
	}
}

// TestTheCoreIsStandardLibraryAndACronParser allows our own packages too; TestImportsPointDown limits those.
func TestTheCoreIsStandardLibraryAndACronParser(t *testing.T) {
	for _, dep := range list(t, "-f", `{{join .Imports "\n"}}`, module+"internal/apikey") {
		if strings.Contains(dep, ".") && dep != "github.com/robfig/cron/v3" && !strings.HasPrefix(dep, module) {
			t.Errorf("internal/apikey imports %s", dep)
		}
	}
}

// TestNoDoorReachesTheController keeps the two processes apart in the code, as their permissions
// are in the cluster.
func TestNoDoorReachesTheController(t *testing.T) {
	for _, p := range []string{"internal/web", "internal/rest", "internal/door/envoy", "internal/keyring", "internal/authn"} {
		for _, dep := range list(t, "-deps", module+p) {
			if dep == module+"internal/controller" {
				t.Errorf("%s depends on %s", p, dep)
			}
		}
	}
}

// A tag of an action can be moved to other code, and the jobs hold permissions to publish.
func TestActionsArePinnedByCommit(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows: %v, %v", files, err)
	}
	pinned := regexp.MustCompile(`@[0-9a-f]{40} # v\d`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "uses:") && !pinned.MatchString(line) {
				t.Errorf("%s: %s: write the commit and, as a comment, its version", filepath.Base(file), strings.TrimSpace(line))
			}
		}
	}
}
