// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

const chart = "charts/apikey-operator"

// helm renders the chart with these arguments, and says what Helm, its schema included, has against them.
func helm(t *testing.T, args ...string) error {
	t.Helper()
	program := filepath.Join(root(t), "bin/tools/helm")
	if !exists(program) {
		t.Fatal("no bin/tools/helm: run make tools-chart")
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"template", "x", chart, "-n", "apikey-system"}, args...)...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		return &failed{string(out), err}
	}
	return nil
}

// failed is a program that failed, with what it said.
type failed struct {
	said string
	err  error
}

func (f *failed) Error() string { return f.err.Error() + "\n" + f.said }

// withValues renders the chart with the values that a page shows.
func withValues(t *testing.T, text string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return helm(t, "-f", file)
}

func TestTheChartTakesTheValuesOfThePages(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.marker != "values" {
				continue
			}
			found++
			if err := withValues(t, b.text); err != nil {
				t.Errorf("%s: %v", p.where(b.number), err)
			}
		}
	}
	for _, c := range commands(t, "helm") {
		if c.words[0] != "helm" {
			continue
		}
		var set []string
		for i, w := range c.words[:len(c.words)-1] {
			if w == "--set" || w == "--set-string" {
				set = append(set, w, c.words[i+1])
			}
		}
		if set == nil {
			continue
		}
		found++
		if err := helm(t, set...); err != nil {
			t.Errorf("%s: %v", c.where, err)
		}
	}
	if found < 5 {
		t.Errorf("only %d are found", found)
	}
	if withValues(t, "server: {replics: 2}") == nil {
		t.Error("a misspelt value passes")
	}
}

var here = regexp.MustCompile(`(?s)<<'?EOF'?[^\n]*\n(.*?)\nEOF\n`)

// apiKeys returns the ApiKeys that are written out in a block: YAML, or a here-document.
func apiKeys(b block) (out []string) {
	texts := []string{b.text}
	if b.language == "sh" {
		texts = nil
		for _, m := range here.FindAllStringSubmatch(b.text, -1) {
			texts = append(texts, m[1])
		}
	} else if b.language != "yaml" {
		return nil
	}
	for _, text := range texts {
		for doc := range strings.SplitSeq("\n"+text, "\n---") {
			if regexp.MustCompile(`(?m)^kind: ApiKey$`).MatchString(doc) {
				out = append(out, doc)
			}
		}
	}
	return out
}

// decode reads an ApiKey as strictly as the API server does when it is asked to.
func decode(doc string) error {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	read := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var o v1alpha1.ApiKey
	_, kind, err := read.Decode([]byte(doc), nil, &o)
	if err == nil && (kind.GroupVersion() != v1alpha1.GroupVersion || o.Name == "") {
		err = fmt.Errorf("want a name, and version %s", v1alpha1.GroupVersion)
	}
	return err
}

func TestEveryApiKeyOfThePagesIsOne(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			for _, doc := range apiKeys(b) {
				found++
				if err := decode(doc); err != nil {
					t.Errorf("%s: %v:%s", p.where(b.number), err, doc)
				}
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d are found", found)
	}
	for _, spec := range []string{"{rol: member}", "{allowedCidrs: []}"} {
		if decode("apiVersion: auth.kaana.com/v1alpha1\nkind: ApiKey\nmetadata: {name: x}\nspec: "+spec) == nil {
			t.Errorf("%s passes", spec)
		}
	}
}

// configured returns what a process says of a configuration that it cannot go on with, because there is neither the
// certificate nor the cluster that it names: whatever comes before that is a mistake in the configuration.
func configured(t *testing.T, process, text string) string {
	t.Helper()
	program := filepath.Join(root(t), "bin/apikey-operator")
	if !exists(program) {
		t.Fatal("no bin/apikey-operator: run make build")
	}
	if process == "server" && !regexp.MustCompile(`(?m)^tls:`).MatchString(text) {
		text += "\ntls: {certFile: /nowhere/tls.crt, keyFile: /nowhere/tls.key}\n"
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.CommandContext(t.Context(), program, process, "--config", file, "--kubeconfig", "/nowhere/kubeconfig").CombinedOutput()
	return string(out)
}

func TestTheProcessesTakeTheConfigurationsOfThePages(t *testing.T) {
	last := map[string]string{"server": "load certificate", "controller": "/nowhere/kubeconfig"}
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			process, is := strings.CutSuffix(b.marker, "-config")
			if !is {
				continue
			}
			found++
			if said := configured(t, process, b.text); !strings.Contains(said, last[process]) {
				t.Errorf("%s: %s", p.where(b.number), said)
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d are found", found)
	}
	for process, bad := range map[string]string{"server": "pages: {client: x}", "controller": "worker: 1"} {
		if said := configured(t, process, bad); strings.Contains(said, last[process]) {
			t.Errorf("a misspelt field of the %s passes: %s", process, said)
		}
	}
}
