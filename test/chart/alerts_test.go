// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kaana/apikey-operator/test/cluster"
)

// TestAlertsFireWhenTheyShouldAndOnlyThen evaluates the rules with promtool, on series that testdata/alerts.yaml gives.
func TestAlertsFireWhenTheyShouldAndOnlyThen(t *testing.T) {
	root, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var resource struct {
		Spec struct {
			Groups []struct {
				Name  string           `json:"name"`
				Rules []map[string]any `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read("config/prometheus/rules.yaml")), &resource); err != nil {
		t.Fatal(err)
	}
	rules, err := yaml.Marshal(resource.Spec)
	if err != nil {
		t.Fatal(err)
	}
	tests := read("test/chart/testdata/alerts.yaml")
	for _, g := range resource.Spec.Groups {
		for _, r := range g.Rules {
			if alert, ok := r["alert"].(string); ok && !strings.Contains(tests, `alertname="`+alert+`"`) {
				t.Errorf("no test has %s fire", alert)
			}
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rules.yaml": string(rules), "tests.yaml": strings.Replace(tests, "[RULES]", "[rules.yaml]", 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "", "promtool", "check", "rules", "--lint-fatal", filepath.Join(dir, "rules.yaml"))
	out := must(t, "", "promtool", "test", "rules", filepath.Join(dir, "tests.yaml"))
	if !strings.Contains(out, "SUCCESS") {
		t.Error(out)
	}
}
