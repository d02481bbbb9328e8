// SPDX-License-Identifier: Apache-2.0

// Package chart holds the chart to what Helm, Kubernetes and config/ say of it.
package chart_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"

	"github.com/kaana/apikey-operator/test/cluster"
)

const chart = "charts/apikey-operator"

// run runs a program of bin/tools or bin/k8s in the root of the repository.
func run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	root, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bin/tools", "bin/k8s"} {
		if program := filepath.Join(root, dir, args[0]); exists(program) {
			cmd := exec.CommandContext(t.Context(), program, args[1:]...)
			cmd.Dir, cmd.Stdin = root, strings.NewReader(stdin)
			// Nothing of the person's own Helm, and nothing from the network.
			cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
	}
	t.Fatalf("no %s: run make tools-chart", args[0])
	return "", nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := run(t, stdin, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// values are the files of values that the chart is tried with; the first is none.
func values(t *testing.T) []string {
	t.Helper()
	root, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, chart, "ci", "*-values.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("values to try: %v, %v", files, err)
	}
	return append([]string{os.DevNull}, files...)
}

func render(t *testing.T, with string) string {
	t.Helper()
	return must(t, "", "helm", "template", "apikey-operator", chart, "-n", "apikey-system", "-f", with)
}

func TestTheChartLints(t *testing.T) {
	for _, file := range values(t) {
		must(t, "", "helm", "lint", "--strict", chart, "-f", file)
	}
}

func TestEveryVersionOfKubernetesKnowsEveryField(t *testing.T) {
	root, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	versions, err := filepath.Glob(filepath.Join(root, "bin/schemas/v*"))
	if err != nil || len(versions) != 5 {
		t.Fatalf("want the schemas of five versions in bin/schemas: run make tools-chart; have %v, %v", versions, err)
	}
	const file = "/{{.ResourceKind}}{{.KindSuffix}}.json"
	check := func(text, version string) (string, error) {
		return run(t, text, "kubeconform", "-strict", "-schema-location", version+file, "-schema-location", filepath.Join(root, "bin/schemas/custom")+file, "-")
	}
	for _, with := range values(t) {
		text := render(t, with)
		for _, v := range versions {
			if out, err := check(text, v); err != nil {
				t.Errorf("%s, %s: %s", filepath.Base(with), filepath.Base(v), out)
			}
		}
	}
	for _, dir := range []string{"config/default", "config/samples", "config/prometheus", "config/rbac/refresh"} {
		text := must(t, "", "kubectl", "kustomize", dir)
		for _, v := range versions {
			if out, err := check(text, v); err != nil {
				t.Errorf("%s, %s: %s", dir, filepath.Base(v), out)
			}
		}
	}
	if out, err := check(strings.ReplaceAll(render(t, os.DevNull), "serviceAccountName:", "serviceAcountName:"), versions[0]); err == nil {
		t.Errorf("a misspelt field passes: %s", out)
	}
}

func TestKubeScoreFindsNothingCritical(t *testing.T) {
	for _, with := range values(t) {
		out, _ := run(t, render(t, with), "kube-score", "score", "-", "--output-format", "ci")
		if !strings.Contains(out, "[OK]") {
			t.Fatalf("kube-score: %s", out)
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "[CRITICAL]") {
				t.Errorf("%s: %s", filepath.Base(with), line)
			}
		}
	}
}

// Forward-auth and TokenReview are for callers inside the cluster. Outside they would tell anybody whether a token
// works.
func TestTheOutsideReachesOnlyWhatItNeeds(t *testing.T) {
	outside := []string{"/", "/api", "/assets", "/login", "/logout", "/oauth2", "/settings"}
	published := map[string][]string{}
	for doc := range strings.SplitSeq(render(t, "charts/apikey-operator/ci/everything-values.yaml"), "\n---\n") {
		var o struct {
			Kind string
			Spec struct {
				Rules []struct {
					HTTP    struct{ Paths []struct{ Path string } }
					Matches []struct{ Path struct{ Value string } }
				}
			}
		}
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil || o.Kind != "Ingress" && o.Kind != "HTTPRoute" {
			continue // rules of other kinds have other shapes
		}
		for _, r := range o.Spec.Rules {
			for _, p := range r.HTTP.Paths {
				published[o.Kind] = append(published[o.Kind], p.Path)
			}
			for _, m := range r.Matches {
				published[o.Kind] = append(published[o.Kind], m.Path.Value)
			}
		}
	}
	for _, kind := range []string{"Ingress", "HTTPRoute"} {
		if !slices.Equal(published[kind], outside) {
			t.Errorf("%s publishes %q, want %q", kind, published[kind], outside)
		}
	}
}

func TestWrongValuesAreRefusedWithWhatIsWrong(t *testing.T) {
	for value, want := range map[string]string{
		"server.replics=3":                       "at '/server': additional properties 'replics' not allowed",
		"server.replicas=0":                      "at '/server/replicas': minimum: got 0, want 1",
		"server.replicas=2":                      `Give activity.database: postgres with activity.postgres.secret, or activity.database: "off", or one replica`,
		"server.autoscaling.enabled=true":        "a file that serves one server only",
		"server.trustedProxies={10.0.0.1}":       "at '/server/trustedProxies/0'",
		"server.hosts={https://keys}":            "at '/server/hosts/0'",
		"server.ingress.enabled=true":            "give server.ingress.host",
		"server.httpRoute.enabled=true":          "give server.httpRoute.parentRefs",
		"server.tls.certManager.enabled=true":    "give its issuerRef",
		"server.service.type=External":           "value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'",
		"logLevel=verbose":                       "at '/logLevel'",
		"tokenPrefix=Kaana_":                     "at '/tokenPrefix'",
		"watchNamespaces={Acme}":                 "at '/watchNamespaces/0'",
		"activity.database=mysql":                "value must be one of 'sqlite', 'postgres', 'off'",
		"activity.database=postgres":             "give activity.postgres.secret",
		"activity.retention=90d":                 "at '/activity/retention'",
		"pages.clientID=x":                       "give pages.url",
		"pages.url=https://keys.example.com/api": "at '/pages/url'",
		"issuers[0].issuer.url=http://x":         "at '/issuers/0/issuer/url'",
		"image.repository=ghcr.io/kaana/x:v1":    "at '/image/repository'",
		"image.digest=sha256:0":                  "at '/image/digest'",
	} {
		out, err := run(t, "", "helm", "template", "x", chart, "--set", value)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: want an error with %q, got %v:\n%s", value, want, err, out)
		}
	}
}

// object is a manifest.
type object = map[string]any

// byName returns manifests by kind and name, without what only Helm or only people read.
func byName(t *testing.T, text string) map[string]object {
	t.Helper()
	out := map[string]object{}
	for doc := range strings.SplitSeq("\n"+text, "\n---") {
		var o object
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatal(err)
		}
		meta, _ := o["metadata"].(object)
		if meta == nil {
			continue
		}
		annotations, _ := meta["annotations"].(object)
		if annotations["helm.sh/hook"] != nil {
			continue
		}
		delete(annotations, "helm.sh/resource-policy")
		if len(annotations) == 0 {
			delete(meta, "annotations")
		}
		labels, _ := meta["labels"].(object)
		for _, l := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "app.kubernetes.io/name", "helm.sh/chart"} {
			delete(labels, l)
		}
		if len(labels) == 0 {
			delete(meta, "labels")
		}
		if o["kind"] == "Namespace" {
			continue // created by Helm, or by the person who installs
		}
		name, _ := meta["name"].(string)
		kind, _ := o["kind"].(string)
		out[kind+" "+name] = o
	}
	return out
}

func TestKustomizeInstallsTheSame(t *testing.T) {
	helm, kustomize := byName(t, render(t, os.DevNull)), byName(t, must(t, "", "kubectl", "kustomize", "config/default"))
	if len(helm) < 20 {
		t.Fatalf("only %d objects", len(helm))
	}
	for name, o := range helm {
		if !reflect.DeepEqual(o, kustomize[name]) {
			ours, _ := yaml.Marshal(o)
			theirs, _ := yaml.Marshal(kustomize[name])
			t.Errorf("%s differs; of the chart:\n%s\nof kustomize:\n%s", name, ours, theirs)
		}
	}
	for name := range kustomize {
		if helm[name] == nil {
			t.Errorf("%s is not in the chart", name)
		}
	}
}

// What is shown and alerted on, and what docs speak of, must be what the processes count.
func TestEveryMetricThatIsSpokenOfExists(t *testing.T) {
	root, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`\bapikey_[a-z_]+[a-z]\b(\.go)?`)
	read := func(pattern string) (found []string) {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, metric.FindAllString(string(text), -1)...)
		}
		return slices.DeleteFunc(found, func(name string) bool { return strings.HasSuffix(name, ".go") }) // a file's name
	}
	counted := slices.Concat(read("internal/*/*.go"), read("internal/*/*/*.go"))
	for _, pattern := range []string{"config/grafana/*.json", "config/prometheus/*.yaml", "docs/*.md"} {
		for _, name := range read(pattern) {
			base := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, suffix)
			}
			if !slices.Contains(counted, base) {
				t.Errorf("%s: nobody counts %s", pattern, name)
			}
		}
	}
}

func TestItInstallsOnARealAPIServer(t *testing.T) {
	control, err := start(t)
	if err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) string {
		t.Helper()
		return must(t, "", append([]string{"kubectl", "--kubeconfig", control.Kubeconfig}, args...)...)
	}
	helm := func(args ...string) string {
		t.Helper()
		return must(t, "", append([]string{"helm", "--kubeconfig", control.Kubeconfig, "-n", "keys"}, args...)...)
	}
	may := func(who, verb, what, namespace string) bool {
		t.Helper()
		out, _ := run(t, "", "kubectl", "--kubeconfig", control.Kubeconfig, "auth", "can-i", verb, what, "-n", namespace, "--as=system:serviceaccount:keys:apikey-operator-"+who)
		return strings.HasSuffix(strings.TrimSpace(out), "yes") // after a warning of what has no Namespace
	}
	for _, ns := range []string{"keys", "acme-dev", "acme-prod", "other"} {
		kubectl("create", "namespace", ns)
		kubectl("label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
	}
	if out := helm("install", "mine", chart, "--set", "activity.database=off"); strings.Contains(out, "would violate") {
		t.Errorf("Pods are not of the restricted profile: %s", out)
	}
	if !may("controller", "get", "secrets", "other") || may("server", "get", "secrets", "other") || may("server", "list", "secrets", "keys") {
		t.Error("the controller must read Secrets, and the server none")
	}
	// The policies name the ServiceAccounts of this Namespace: nobody else writes a status, cluster administrators included.
	if out := kubectl("get", "validatingadmissionpolicy", "apikey-status", "-o", "yaml"); !strings.Contains(out, "system:serviceaccount:keys:apikey-operator-controller") {
		t.Errorf("the policy names other ServiceAccounts: %s", out)
	}

	helm("upgrade", "mine", chart, "-f", chart+"/ci/namespaces-values.yaml")
	for _, c := range []struct {
		who, verb, what, namespace string
		want                       bool
	}{
		{"controller", "update", "secrets", "acme-dev", true},
		{"controller", "get", "secrets", "other", false},
		{"controller", "list", "secrets", "keys", false},
		{"controller", "get", "secrets/apikey-operator-server-tls", "keys", true},
		{"controller", "list", "apikeys", "other", false},
		{"controller", "watch", "validatingadmissionpolicies", "", true},
		{"controller", "get", "mutatingwebhookconfigurations/apikey-operator", "", true},
		{"controller", "update", "mutatingwebhookconfigurations/apikey-operator", "", false},
		{"controller", "patch", "validatingwebhookconfigurations/apikey-operator", "", false},
		{"server", "list", "apikeys", "acme-prod", true},
		{"server", "list", "apikeys", "other", false},
		{"server", "get", "secrets", "acme-prod", false},
		{"server", "watch", "namespaces/acme-dev", "", true},
		{"server", "list", "namespaces", "", false},
		{"server", "get", "namespaces/other", "", false},
	} {
		if got := may(c.who, c.verb, c.what, c.namespace); got != c.want {
			t.Errorf("limited to Namespaces, may %s %s %s in %q: %v", c.who, c.verb, c.what, c.namespace, got)
		}
	}

	kubectl("apply", "-n", "acme-dev", "-f", "config/samples/auth_v1alpha1_apikey_rotating.yaml", "--dry-run=server", "--validate=strict")
	helm("uninstall", "mine")
	if out := kubectl("get", "crd", "apikeys.auth.kaana.com", "-o", "name"); !strings.Contains(out, "apikeys.auth.kaana.com") {
		t.Errorf("the CRD went with the chart: %s", out)
	}
	if out := kubectl("get", "clusterroles,clusterrolebindings,mutatingwebhookconfigurations", "-o", "name"); strings.Contains(out, "apikey") {
		t.Errorf("left behind: %s", out)
	}
	// Nobody can make meanwhile what they were not granted: the policies guard for as long as there is the CRD.
	kubectl("create", "clusterrole", "writer", "--verb=create", "--resource=apikeys.auth.kaana.com")
	kubectl("create", "rolebinding", "-n", "acme-dev", "writer", "--clusterrole=writer", "--user=writer")
	out, err := run(t, "{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: mine}, spec: {role: admin}}",
		"kubectl", "--kubeconfig", control.Kubeconfig, "create", "-n", "acme-dev", "-f", "-", "--as=writer")
	if err == nil || !strings.Contains(out, "may not mint a key of role admin") {
		t.Errorf("uninstalled, who is not granted it makes a key: %v, %s", err, out)
	}
	helm("install", "mine", chart) // again, over the CRD that stayed
}

// start starts a control plane with nothing installed.
func start(t *testing.T) (*cluster.Cluster, error) {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	root, err := cluster.Root()
	if err != nil {
		return nil, err
	}
	control, err := cluster.Start(t.Context(), cluster.Options{Binaries: cluster.Binaries(root), State: t.TempDir()})
	if err == nil {
		t.Cleanup(func() {
			if err := control.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	return control, err
}
