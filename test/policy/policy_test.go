// SPDX-License-Identifier: Apache-2.0

// Package policy tries the ValidatingAdmissionPolicies of config/policy on a real API server, as the users and accounts that
// they limit.
package policy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/kaana/apikey-operator/test/cluster"
)

const (
	namespace  = "acme-dev"
	admin      = "admin-of-all"
	developer  = "developer"
	server     = "system:serviceaccount:apikey-system:apikey-operator-server"
	controller = "system:serviceaccount:apikey-system:apikey-operator-controller"
)

var (
	control *cluster.Cluster
	serial  int
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "policy")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if control, err = cluster.StartForTest(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = control.Stop() }()
	root, err := cluster.Root()
	if err == nil {
		err = control.Install(ctx, root)
	}
	for _, args := range [][]string{
		{"create", "namespace", namespace},
		{"create", "clusterrolebinding", admin, "--clusterrole=cluster-admin", "--user=" + admin},
		{"create", "rolebinding", "-n", namespace, developer, "--clusterrole=apikey-editor", "--user=" + developer},
		{"create", "role", "-n", namespace, "web", "--verb=patch", "--resource=deployments.apps", "--resource-name=web"},
		{"create", "rolebinding", "-n", namespace, "web", "--role=web", "--user=" + developer},
		{"create", "rolebinding", "-n", namespace, "reader", "--clusterrole=apikey-viewer", "--user=" + developer},
	} {
		if err == nil {
			_, err = control.Kubectl(ctx, args...)
		}
	}
	if err == nil {
		err = active(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// active waits until the policies are in force: it takes the API server half a second.
func active(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err := as(developer).Create(ctx, object("{role: admin}"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		_, err2 := as(server).Create(ctx, object("{secret: {refresh: Pods}}"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		_, err3 := as(developer).Create(ctx, object("{secret: {restart: [{kind: Deployment, name: other}]}}"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if apierrors.IsForbidden(err) && apierrors.IsForbidden(err2) && err3 != nil && strings.Contains(err3.Error(), "apikey-restart") {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// as returns the ApiKeys of the Namespace as a user sees them.
func as(user string) dynamic.ResourceInterface {
	cfg := rest.CopyConfig(control.Config)
	cfg.Impersonate.UserName = user
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		panic(err)
	}
	return client.Resource(schema.GroupVersionResource{Group: "auth.kaana.com", Version: "v1alpha1", Resource: "apikeys"}).Namespace(namespace)
}

// object returns an ApiKey with that spec, and more of its metadata.
func object(spec string, metadata ...string) *unstructured.Unstructured {
	serial++
	o := &unstructured.Unstructured{}
	text := fmt.Sprintf("apiVersion: auth.kaana.com/v1alpha1\nkind: ApiKey\nmetadata: {name: k%d%s}\nspec: %s", serial, strings.Join(metadata, ""), spec)
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		panic(err)
	}
	return o
}

// change has an administrator create an ApiKey and a user change it, and returns what the API server says to the user.
func change(t *testing.T, user, from, to string, metadata ...string) error {
	t.Helper()
	was, err := as(admin).Create(t.Context(), object(from), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	is := object(to, metadata...)
	is.SetName(was.GetName())
	is.SetResourceVersion(was.GetResourceVersion())
	_, err = as(user).Update(t.Context(), is, metav1.UpdateOptions{})
	return err
}

func expect(t *testing.T, name string, err error, refused string) {
	t.Helper()
	if refused == "" && err != nil || refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
		t.Errorf("%s: %v, want %q", name, err, refused)
	}
}

func TestDeliveringElsewhereCountsAsMinting(t *testing.T) {
	const grant = "apikeyroles/admin"
	for _, c := range []struct{ name, from, to, refused string }{
		{"another Secret", "{role: admin}", "{role: admin, secret: {name: other}}", grant},
		{"another key of the Secret", "{role: admin}", "{role: admin, secret: {key: other}}", grant},
		{"a template that shows the token", "{role: admin}", `{role: admin, secret: {template: {data: {x: "{{ .Token }}"}}}}`, grant},
		{"another template", `{role: admin, secret: {template: {data: {x: v}}}}`, `{role: admin, secret: {template: {data: {x: "{{ .Token }}"}}}}`, grant},
		{"the same delivery written out", "{role: admin}", "{role: admin, secret: {key: token}}", ""},
		{"without the template", `{role: admin, secret: {template: {data: {x: v}}}}`, `{role: admin, secret: {}}`, ""},
		{"a longer overlap", "{role: admin, rotation: {every: 720h, overlap: 1h}}", "{role: admin, rotation: {every: 720h, overlap: 2h}}", grant},
		{"the default overlap, which is longer", "{role: admin, rotation: {every: 720h, overlap: 1h}}", "{role: admin, rotation: {every: 720h}}", grant},
		{"a shorter overlap", "{role: admin, rotation: {every: 720h}}", "{role: admin, rotation: {every: 720h, overlap: 1h}}", ""},
		{"another rotation", "{role: admin, rotation: {every: 720h}}", "{role: admin, rotation: {every: 24h}}", ""},
		{"another Secret of a key within one's grants", "{role: member}", "{role: member, secret: {name: other}}", ""},
	} {
		expect(t, c.name, change(t, developer, c.from, c.to), c.refused)
		expect(t, c.name+", as an administrator", change(t, admin, c.from, c.to), "")
	}
}

func TestRestartingAWorkloadTakesThePermissionToPatchIt(t *testing.T) {
	const web, other = "{secret: {restart: [{kind: Deployment, name: web}]}}", "{secret: {restart: [{kind: Deployment, name: web}, {kind: StatefulSet, name: db}]}}"
	create := func(user, spec string) error {
		_, err := as(user).Create(t.Context(), object(spec), metav1.CreateOptions{})
		return err
	}
	expect(t, "a workload of one's own", create(developer, web), "")
	expect(t, "and one that is not", create(developer, other), "user developer may not restart statefulsets/db")
	expect(t, "the same name of another kind", create(developer, "{secret: {restart: [{kind: DaemonSet, name: web}]}}"), "may not restart daemonsets/web")
	expect(t, "an administrator's", create(admin, other), "")
	expect(t, "one that was there before", change(t, developer, other, other), "")
	expect(t, "one that is added", change(t, developer, web, other), "may not restart statefulsets/db")
	eight := "{secret: {restart: ["
	for i := range 8 {
		eight += fmt.Sprintf("{kind: Deployment, name: d%d},", i)
	}
	eight += "]}}"
	expect(t, "eight", create(admin, eight), "")
	expect(t, "the last of eight", change(t, developer, strings.Replace(eight, "{kind: Deployment, name: d7},", "", 1), eight), "may not restart deployments/d7")
}

func TestACompromisedServerWritesNothingButWhatRESTWrites(t *testing.T) {
	create := func(spec string, metadata ...string) error {
		_, err := as(server).Create(t.Context(), object(spec, metadata...), metav1.CreateOptions{})
		return err
	}
	digest := strings.Repeat("a", 64)
	for _, c := range []struct{ name, spec, metadata, refused string }{
		{"a key that is shown once", "{role: admin, digests: [{sha256: " + digest + "}]}", ", labels: {auth.kaana.com/request: a}, annotations: {auth.kaana.com/request-sha256: b}", ""},
		{"a key that is delivered", "{secret: {name: billing}}", "", ""},
		{"a template", "{secret: {template: {data: {x: v}}}}", "", "spec.secret"},
		{"an empty template", "{secret: {template: {}}}", "", "spec.secret"},
		{"another key of the Secret", "{secret: {key: .dockerconfigjson}}", "", "no more of spec.secret than its name"},
		{"a restart", "{secret: {restart: [{kind: Deployment, name: web}]}}", "", "may not"},
		{"a refresh", "{secret: {refresh: Pods}}", "", "spec.secret"},
		{"a label of another controller", "{}", ", labels: {argocd.argoproj.io/instance: x}", "its own labels only"},
		{"an annotation of another controller", "{}", ", annotations: {reloader.stakater.com/auto: 'true'}", "its own annotations only"},
		{"a finalizer", "{}", ", finalizers: [example.com/x]", "neither finalizers nor owner references"},
		{"an owner", "{}", ", ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: x, uid: u}]", "neither finalizers nor owner references"},
	} {
		expect(t, "create "+c.name, create(c.spec, c.metadata), c.refused)
	}
	for _, c := range []struct{ name, from, to, metadata, refused string }{
		{"a suspension of a key with a template", `{secret: {template: {data: {x: v}}}}`, `{state: Suspended, secret: {template: {data: {x: v}}}}`, ", annotations: {auth.kaana.com/suspended-by: a}", ""},
		{"the template", `{secret: {template: {data: {x: v}}}}`, `{secret: {template: {data: {x: z}}}}`, "", "spec.secret"},
		{"a template of a key without", `{}`, `{secret: {template: {data: {x: z}}}}`, "", "spec.secret"},
		{"restarts", `{}`, `{secret: {restart: [{kind: Deployment, name: web}]}}`, "", "may not"},
		{"the Secret's name", `{}`, `{secret: {name: other}}`, "", "may not change spec.secret"},
		{"the key of the Secret", `{secret: {name: a}}`, `{secret: {name: a, key: tls.crt}}`, "", "may not change spec.secret"},
		{"no template where there was one", `{secret: {template: {data: {x: v}}}}`, `{secret: {}}`, "", "may not change spec.secret"},
		{"no restarts where there were some", `{secret: {restart: [{kind: Deployment, name: web}]}}`, `{secret: {}}`, "", "may not change spec.secret"},
		{"no Secret where there was one", `{secret: {name: a}}`, `{}`, "", "may not change spec.secret"},
		{"a finalizer", `{}`, `{}`, ", finalizers: [example.com/x]", "neither finalizers nor owner references"},
	} {
		expect(t, "change "+c.name, change(t, server, c.from, c.to, c.metadata), c.refused)
	}
	// The garbage collector deletes what an owner that is gone owned: another owner is as bad as one more.
	uid, err := control.Kubectl(t.Context(), "get", "namespace", namespace, "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		t.Fatal(err)
	}
	owned, err := as(admin).Create(t.Context(), object("{}", ", ownerReferences: [{apiVersion: v1, kind: Namespace, name: "+namespace+", uid: "+uid+"}]"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for owner, refused := range map[string]string{uid: "", "another": "neither finalizers nor owner references"} {
		is := owned.DeepCopy()
		is.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Namespace", Name: namespace, UID: types.UID(owner)}})
		is.SetAnnotations(map[string]string{"auth.kaana.com/suspended-by": "a"})
		_, err := as(server).Update(t.Context(), is, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		expect(t, "change an owner to "+owner, err, refused)
	}
}

func TestJoiningATenantTakesItsGrant(t *testing.T) {
	for _, args := range [][]string{
		{"create", "clusterrole", "namespaces", "--verb=create,update,patch,get", "--resource=namespaces"},
		{"create", "clusterrolebinding", "namespaces", "--clusterrole=namespaces", "--user=platform"},
	} {
		if _, err := control.Kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	role := filepath.Join(t.TempDir(), "role.yaml")
	if err := os.WriteFile(role, []byte("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: grant-globex}\n"+
		"rules:\n- {apiGroups: [auth.kaana.com], resources: [apikeytenants], resourceNames: [globex], verbs: [grant]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"apply", "-f", role}, {"create", "clusterrolebinding", "grant-globex", "--clusterrole=grant-globex", "--user=platform"}} {
		if _, err := control.Kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	cfg := rest.CopyConfig(control.Config)
	cfg.Impersonate.UserName = "platform"
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	namespaces := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	space := func(name, labels string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte("{apiVersion: v1, kind: Namespace, metadata: {name: "+name+", labels: {"+labels+"}}}"), &o.Object); err != nil {
			t.Fatal(err)
		}
		return o
	}
	create := func(name, labels string) error {
		_, err := namespaces.Create(t.Context(), space(name, labels), metav1.CreateOptions{})
		return err
	}
	update := func(name, labels string) error {
		was, err := namespaces.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		is := space(name, labels)
		is.SetResourceVersion(was.GetResourceVersion())
		_, err = namespaces.Update(t.Context(), is, metav1.UpdateOptions{})
		return err
	}
	const refused = "may not add a Namespace to tenant acme"
	expect(t, "a Namespace of its own", create("plain", ""), "")
	expect(t, "a Namespace with the name of a tenant", create("acme", ""), "")
	expect(t, "in somebody else's tenant", create("wrong", "auth.kaana.com/tenant: acme"), refused)
	expect(t, "in a granted one", create("right", "auth.kaana.com/tenant: globex"), "")
	expect(t, "which changes otherwise", update("right", "auth.kaana.com/tenant: globex, team: a"), "")
	expect(t, "into another tenant", update("right", "auth.kaana.com/tenant: acme"), refused)
	expect(t, "out of it", update("right", ""), "")
	expect(t, "a Namespace that was of none", update("plain", "auth.kaana.com/tenant: acme"), refused)
	expect(t, "by another label", update("plain", "team: acme"), "")
}

func TestTheServerRecordsClaimsToDigestsOfTheKeyOnly(t *testing.T) {
	own, second, other := strings.Repeat("a", 64), strings.Repeat("c", 64), strings.Repeat("b", 64)
	record := func(digest, at string) string {
		return fmt.Sprintf(`{"id":%q,"sha256":%q,"phase":"Current","issuedAt":%q}`, digest[:10], digest, at)
	}
	const then, now = "2026-01-01T00:00:00Z", "2090-01-01T00:00:00Z" // before and after the key is made
	for _, c := range []struct{ name, spec, before, after, refused string }{
		{"the claim of a new key", "{digests: [{sha256: " + own + "}]}", "", record(own, now), ""},
		{"one more claim", "{digests: [{sha256: " + own + "}, {sha256: " + second + "}]}", record(own, then), record(own, then) + "," + record(second, now), ""},
		{"a claim from before the key was made", "{digests: [{sha256: " + own + "}]}", "", record(own, then), "claims to the digests of spec.digests only"},
		{"a claim from before the key's last one", "{digests: [{sha256: " + own + "}, {sha256: " + second + "}]}", record(own, now), record(own, now) + "," + record(second, "2089-01-01T00:00:00Z"), "claims to the digests of spec.digests only"},
		{"a second record of one digest", "{digests: [{sha256: " + own + "}]}", record(own, now), strings.Replace(record(own, now), `"id":"a`, `"id":"b`, 1) + "," + record(own, now), "claims to the digests of spec.digests only"},
		{"a record under another id", "{digests: [{sha256: " + own + "}]}", "", strings.Replace(record(own, now), `"id":"a`, `"id":"b`, 1), "claims to the digests of spec.digests only"},
		{"a claim in the place of one whose digest is gone", "{digests: [{sha256: " + own + "}]}", record(other, then), record(own, now), ""},
		{"a claim to a digest that the key does not have", "{digests: [{sha256: " + own + "}]}", "", record(other, now), "claims to the digests of spec.digests only"},
		{"an earlier claim in the place of the recorded one", "{digests: [{sha256: " + own + "}]}", record(own, now), record(own, "2089-01-01T00:00:00Z"), "claims to the digests of spec.digests only"},
		{"a record of a key that is delivered", "{}", "", record(own, now), "claims to the digests of spec.digests only"},
		{"no record of a key that is delivered, where there was one", "{}", record(own, now), "", "claims to the digests of spec.digests only"},
		{"no claim where there was one", "{digests: [{sha256: " + own + "}]}", record(own, now), "", "claims to the digests of spec.digests only"},
	} {
		o, err := as(admin).Create(t.Context(), object(c.spec), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		patch := func(user, records string) error {
			_, err := as(user).Patch(t.Context(), o.GetName(), types.MergePatchType, []byte(`{"status":{"credentials":[`+records+`]}}`), metav1.PatchOptions{}, "status")
			return err
		}
		if c.before != "" {
			_, err := as(controller).UpdateStatus(t.Context(), withRecords(t, o, c.before), metav1.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
		}
		expect(t, c.name, patch(server, c.after), c.refused)
	}
}

// withRecords returns o with these credentials in its status.
func withRecords(t *testing.T, o *unstructured.Unstructured, records string) *unstructured.Unstructured {
	t.Helper()
	var list []any
	if err := yaml.Unmarshal([]byte("["+records+"]"), &list); err != nil {
		t.Fatal(err)
	}
	o = o.DeepCopy()
	if err := unstructured.SetNestedSlice(o.Object, list, "status", "credentials"); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTheControllerMakesNoTokenOfAServiceAccount(t *testing.T) {
	for kind, refused := range map[string]string{
		"Opaque": "", "kubernetes.io/tls": "",
		"kubernetes.io/service-account-token": "Opaque and kubernetes.io/tls only", "example.com/x": "Opaque and kubernetes.io/tls only",
	} {
		cfg := rest.CopyConfig(control.Config)
		cfg.Impersonate.UserName = controller
		client, err := dynamic.NewForConfig(cfg)
		if err != nil {
			t.Fatal(err)
		}
		secret := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": map[string]any{
			"name": "s", "annotations": map[string]any{"kubernetes.io/service-account.name": "default"}}}}
		if kind == "kubernetes.io/tls" {
			secret.Object["data"] = map[string]any{"tls.crt": "", "tls.key": ""}
		}
		_, err = client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(namespace).Create(t.Context(), secret, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		expect(t, "a Secret of type "+kind, err, refused)
	}
}
