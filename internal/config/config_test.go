// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The chart writes configuration files, and the two processes refuse what they do not know.
func TestTheChartWritesConfigurationThatIsUnderstood(t *testing.T) {
	const root = "../.."
	files, err := filepath.Glob(filepath.Join(root, "charts/apikey-operator/ci/*-values.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("values to try: %v, %v", files, err)
	}
	for _, values := range append(files, os.DevNull) {
		out, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin/tools/helm"), "template", "x", filepath.Join(root, "charts/apikey-operator"), "-n", "keys", "-f", values).Output()
		if err != nil {
			t.Fatalf("render with %s; if there is no helm, run make tools-chart: %v", values, err)
		}
		found := 0
		for doc := range strings.SplitSeq(string(out), "\n---\n") {
			var o corev1.ConfigMap
			if yaml.Unmarshal([]byte(doc), &o) != nil || o.Kind != "ConfigMap" {
				continue
			}
			for name, text := range o.Data {
				if !strings.HasSuffix(name, "-config.yaml") {
					continue
				}
				found++
				if err := understood(t, name, text); err != nil {
					t.Errorf("%s, %s: %v\n%s", filepath.Base(values), name, err, text)
				}
			}
		}
		if found != 2 {
			t.Errorf("%s: %d configuration files, want 2", filepath.Base(values), found)
		}
	}
	if err := understood(t, "server-config.yaml", "tls: {certFile: a, keyFile: b}\nlisen: :1\n"); err == nil {
		t.Error("a name that is none is taken")
	}
}

func understood(t *testing.T, name, text string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if name == "controller-config.yaml" {
		_, err := LoadController(file)
		return err
	}
	cfg, err := LoadServer(file)
	if err != nil {
		return err
	}
	_, err = cfg.Issuers(time.Now)
	return err
}
