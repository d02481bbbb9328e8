// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/kaana/apikey-operator/test/cluster"
)

func TestTheContract(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "auth.kaana.com/v1alpha1 on a real API server")
}

var keys dynamic.ResourceInterface

var _ = BeforeSuite(func(ctx SpecContext) {
	c, err := cluster.StartForTest(ctx, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(c.Stop)
	client, err := dynamic.NewForConfig(c.Config)
	Expect(err).NotTo(HaveOccurred())
	keys = client.Resource(schema.GroupVersionResource{Group: "auth.kaana.com", Version: "v1alpha1", Resource: "apikeys"}).Namespace("default")
})

// apikey returns an ApiKey with that spec, in YAML.
func apikey(spec string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	Expect(yaml.Unmarshal([]byte("apiVersion: auth.kaana.com/v1alpha1\nkind: ApiKey\nmetadata: {generateName: cel-}\nspec: "+spec), &o.Object)).To(Succeed())
	return o
}

func create(ctx context.Context, spec string) (*unstructured.Unstructured, error) {
	return keys.Create(ctx, apikey(spec), metav1.CreateOptions{FieldValidation: "Strict"})
}

var (
	digest      = strings.Repeat("0a", 32)
	otherDigest = strings.Repeat("0b", 32)
)

func many(n int, format string) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// Each pair is one rule: what it accepts, and what it rejects with which words.
var _ = DescribeTable("creating", func(ctx SpecContext, accepted, rejected, because string) {
	_, err := create(ctx, accepted)
	Expect(err).NotTo(HaveOccurred())
	_, err = create(ctx, rejected)
	Expect(err).To(MatchError(ContainSubstring(because)))
	said += err.Error()
},
	Entry("description has at most 256 characters", `{description: "`+strings.Repeat("x", 256)+`"}`, `{description: "`+strings.Repeat("x", 257)+`"}`, "spec.description: Too long"),
	Entry("stateReason has at most 256 characters", `{stateReason: "`+strings.Repeat("x", 256)+`"}`, `{stateReason: "`+strings.Repeat("x", 257)+`"}`, "spec.stateReason: Too long"),
	Entry("description is one line of text", `{description: "Nightly – Rechnung ☂ 日本"}`, `{description: "a\u001b]52;c;x"}`, "want one line of text without control characters"),
	Entry("description has no line break", `{description: "a b"}`, `{description: "a\nState: Active"}`, "want one line of text without control characters"),
	Entry("description has no C1 control", `{description: "\u00a0"}`, `{description: "a\u009bx"}`, "want one line of text without control characters"),
	Entry("description does not change the direction of text", `{description: "שלום"}`, `{description: "a\u202ex"}`, "want one line of text without control characters"),
	Entry("stateReason is one line of text", `{stateReason: "left the company"}`, `{stateReason: "a\rb"}`, "want one line of text without control characters"),
	Entry("stateReason has no character that is none", `{stateReason: "a"}`, `{stateReason: "a\ufffe"}`, "want one line of text without control characters"),
	Entry("a hint is one line of text", `{digests: [{sha256: "`+digest+`", hint: "…1234"}]}`, `{digests: [{sha256: "`+digest+`", hint: "\u2067x"}]}`, "want one line of text without control characters"),
	Entry("expiresAt is a year that Go and JSON can hold", `{expiresAt: "9998-12-31T23:59:59Z"}`, `{expiresAt: "9999-12-31T23:59:59-23:59"}`, "spec.expiresAt"),
	Entry("also when only its offset leads beyond", `{expiresAt: "9998-12-31T23:59:59Z"}`, `{expiresAt: "9998-12-31T23:59:59-01:00"}`, "want an instant between the years 1970 and 9998"),
	Entry("a schedule has five fields", `{rotation: {schedule: "0 3 * * 0"}}`, `{rotation: {schedule: "@daily"}}`, "want five cron fields, like 0 3 * * 0"),
	Entry("a time zone is printable", `{rotation: {schedule: "0 3 * * 0", timeZone: Europe/Berlin}}`, `{rotation: {schedule: "0 3 * * 0", timeZone: "Europe/\u001bBerlin"}}`, "want a name of the IANA database, like Europe/Berlin"),
	Entry("state is one of three", `{state: Suspended}`, `{state: Paused}`, `supported values: "Active", "Suspended", "Revoked"`),
	Entry("role is one of three", `{role: viewer}`, `{role: root}`, `supported values: "admin", "member", "viewer"`),
	Entry("a username is no system: name", `{owner: {id: "1", username: "a:system:"}}`, `{owner: {id: "1", username: "system:masters"}}`, "spec.owner.username: Forbidden: a username must not start with system:"),
	Entry("nor is it the name of a key", `{owner: {id: "1", username: "my-apikey:a"}}`, `{owner: {id: "1", username: "apikey:prod:ci"}}`, "nor with apikey:"),
	Entry("nor is an id", `{owner: {id: "a", username: a}}`, `{owner: {id: "system:masters", username: a}}`, "spec.owner.id: Forbidden: an owner's id must not start with system:"),
	Entry("an owner has both", `{owner: {id: "1", username: a}}`, `{owner: {id: "1"}}`, "spec.owner.username: Required"),
	Entry("a username fits into a header", `{owner: {id: "1", username: "auth0|a+b@example.com"}}`, `{owner: {id: "1", username: "a b"}}`, "want printable ASCII without spaces"),
	Entry("nor does it hold a line break", `{owner: {id: "1", username: "x"}}`, `{owner: {id: "1", username: "a\nx-role: admin"}}`, "spec.owner.username"),
	Entry("an id fits into a header", `{owner: {id: "auth0|1", username: a}}`, `{owner: {id: "a b", username: a}}`, "want printable ASCII without spaces"),
	Entry("a scope is no system: name", `{scopes: ["read:system"]}`, `{scopes: ["system:masters"]}`, "a scope must not start with system:"),
	Entry("a scope is an OAuth scope-token", `{scopes: ["projects:read", "a/b.c"]}`, `{scopes: ["projects read"]}`, "want printable ASCII without spaces, double quotes and backslashes"),
	Entry("of at most 16", `{scopes: `+many(16, "s%d")+`}`, `{scopes: `+many(17, "s%d")+`}`, "spec.scopes: Too many"),
	Entry("expiresAt is an instant", `{expiresAt: "2035-01-01T00:00:00Z"}`, `{expiresAt: tomorrow}`, "spec.expiresAt"),
	Entry("with a fraction and an offset, or not", `{expiresAt: "2035-01-01T00:00:00.5+02:00"}`, `{expiresAt: "2035-01-01T00:00:00z"}`, "spec.expiresAt"),
	Entry("that the calendar has", `{expiresAt: "2036-02-29T00:00:00Z"}`, `{expiresAt: "2035-02-29T00:00:00Z"}`, "spec.expiresAt"),
	Entry("that Go can read", `{expiresAt: "2035-01-01T23:59:59Z"}`, `{expiresAt: "2035-01-01T23:59:60Z"}`, "spec.expiresAt"),
	Entry("with an offset that there is", `{expiresAt: "2035-01-01T00:00:00+14:00"}`, `{expiresAt: "2035-01-01T00:00:00+99:00"}`, "spec.expiresAt"),
	Entry("and nothing behind it", `{expiresAt: "2035-01-01T00:00:00Z"}`, `{expiresAt: "2035-01-01T00:00:00Ztgarbage"}`, "spec.expiresAt"),
	Entry("not the one that means never", `{expiresAt: "1970-01-01T00:00:00Z"}`, `{expiresAt: "0001-01-01T00:00:00Z"}`, "want an instant between the years 1970 and 9998"),
	Entry("the same of validUntil", `{digests: [{sha256: "`+digest+`", validUntil: "2035-01-01T00:00:00Z"}]}`, `{digests: [{sha256: "`+digest+`", validUntil: "0001-01-01T00:00:00Z"}]}`, "want an instant between the years 1970 and 9998"),
	Entry("an interval is one that Go and CEL can hold", `{rotation: {every: 999999h9999999m999999999s}}`, `{rotation: {every: 8760000h}}`, `spec.rotation.every: Invalid value: "8760000h": want hours, minutes and seconds, like 720h or 1h30m, up to 999999h`),
	Entry("with a fraction, or not", `{rotation: {every: 1.5h0.25m}}`, `{rotation: {every: ""}}`, "want hours"),
	Entry("the same of an overlap", `{rotation: {every: 1h, overlap: 30m}}`, `{rotation: {every: 1h, overlap: 99999999999h}}`, `spec.rotation.overlap: Invalid value: "99999999999h": want hours`),
	Entry("allowedCIDRs are networks", `{allowedCIDRs: [10.0.0.0/8, "2001:db8::/32"]}`, `{allowedCIDRs: [10.0.0.1]}`, "want a network like"),
	Entry("of at most 32", `{allowedCIDRs: `+many(32, "10.0.%d.0/24")+`}`, `{allowedCIDRs: `+many(33, "10.0.%d.0/24")+`}`, "spec.allowedCIDRs: Too many"),
	Entry("a rotation has a schedule or an interval", `{rotation: {every: 720h}}`, `{rotation: {every: 720h, schedule: "0 3 * * 0"}}`, "give either schedule or every"),
	Entry("and one of them", `{rotation: {schedule: "0 3 * * 0"}}`, `{rotation: {overlap: 1h}}`, "give either schedule or every"),
	Entry("a time zone goes with a schedule", `{rotation: {schedule: "0 3 * * 0", timeZone: Europe/Berlin}}`, `{rotation: {every: 720h, timeZone: Europe/Berlin}}`, "timeZone goes with schedule"),
	Entry("every is 5m or longer", `{rotation: {every: 5m}}`, `{rotation: {every: 4m59s}}`, "every must be 5m or longer"),
	Entry("and a duration", `{rotation: {every: 1h30m}}`, `{rotation: {every: 30d}}`, `spec.rotation.every: Invalid value: "30d": want hours`),
	Entry("overlap is 5m or longer", `{rotation: {every: 1h, overlap: 5m}}`, `{rotation: {every: 1h, overlap: 1m}}`, "overlap must be 5m or longer"),
	Entry("secret.name is the name of a Secret", `{secret: {name: a.b-c}}`, `{secret: {name: A_b}}`, "want lower-case letters, digits, dashes and dots"),
	Entry("secret.key is a key of one", `{secret: {key: API_KEY.txt}}`, `{secret: {key: a/b}}`, "want letters, digits, dots, dashes and underscores"),
	Entry("a template shows the fields of a key", `{secret: {template: {data: {a.env: "{\"K\":\"{{ .Token }}\",\n{{- .Name -}}{{.ExpiresAt}}}"}}}}`, `{secret: {template: {data: {a.env: "{{ .Token | html }}"}}}}`, "a value may show {{ .Token }}"),
	Entry("and no other actions", `{secret: {template: {data: {a: "{ { x } }"}}}}`, `{secret: {template: {data: {a: "{{ range .Token }}{{ end }}"}}}}`, "nothing else in double braces"),
	Entry("nor a brace too many", `{secret: {template: {data: {a: "{ {{ .Name }} }"}}}}`, `{secret: {template: {data: {a: "{{{ .Name }}"}}}}`, "nothing else in double braces"),
	Entry("a label does not show the token", `{secret: {template: {labels: {team: "{{ .Name }}"}}}}`, `{secret: {template: {labels: {team: "{{ .Token }}"}}}}`, "not the token"),
	Entry("nor does an annotation", `{secret: {template: {annotations: {until: "{{ .ExpiresAt }}"}}}}`, `{secret: {template: {annotations: {until: "{{ .Token }}"}}}}`, "not the token"),
	Entry("digests have ids of their own", `{digests: [{sha256: `+strings.Repeat("a", 64)+`}, {sha256: `+strings.Repeat("a", 9)+strings.Repeat("b", 55)+`}]}`, `{digests: [{sha256: `+strings.Repeat("a", 64)+`}, {sha256: `+strings.Repeat("a", 10)+strings.Repeat("b", 54)+`}]}`, "must differ in their first ten digits"),
	Entry("data is text, of any number of lines", `{secret: {template: {data: {a: "x\n\ty"}}}}`, `{secret: {template: {data: {a: "x\u009by"}}}}`, "without control characters"),
	Entry("so is an annotation", `{secret: {template: {annotations: {a: "x\ny"}}}}`, `{secret: {template: {annotations: {a: "x\ry"}}}}`, "without control characters"),
	Entry("and a label", `{secret: {template: {labels: {a: "x"}}}}`, `{secret: {template: {labels: {a: "x\uFFFEy"}}}}`, "without control characters"),
	Entry("the name of a label is one", `{secret: {template: {labels: {example.com/a_B.c: x}}}}`, `{secret: {template: {labels: {"a b": x}}}}`, "want names like"),
	Entry("so is that of an annotation", `{secret: {template: {annotations: {a: x}}}}`, `{secret: {template: {annotations: {"a\u009b": x}}}}`, "want names like"),
	Entry("labels of Kubernetes are reserved", `{secret: {template: {labels: {example.com/team: a}}}}`, `{secret: {template: {labels: {app.kubernetes.io/name: a}}}}`, "are reserved"),
	Entry("so are ours", `{secret: {template: {labels: {mykaana.com/credential: a}}}}`, `{secret: {template: {labels: {auth.kaana.com/credential: a}}}}`, "are reserved"),
	Entry("and those that Argo CD acts on", `{secret: {template: {labels: {argocd: a}}}}`, `{secret: {template: {labels: {argocd.argoproj.io/secret-type: cluster}}}}`, "are reserved"),
	Entry("also as annotations", `{secret: {template: {annotations: {note: a}}}}`, `{secret: {template: {annotations: {kubernetes.io/service-account.name: default}}}}`, "are reserved"),
	Entry("data does not have the key of the token", `{secret: {key: a, template: {data: {token: x}}}}`, `{secret: {template: {data: {token: x}}}}`, "template.data must not have the key that holds the token"),
	Entry("and has keys of a Secret", `{secret: {template: {data: {A_b-c.env: x}}}}`, `{secret: {template: {data: {a/b: x}}}}`, "a key of data has 1 to 253"),
	Entry("a template is short", `{secret: {template: {data: {a: "`+strings.Repeat("x", 8192)+`"}}}}`, `{secret: {template: {data: {a: "`+strings.Repeat("x", 8193)+`"}}}}`, "Too long"),
	Entry("workloads of three kinds are restarted", `{secret: {restart: [{kind: Deployment, name: a}, {kind: StatefulSet, name: a}, {kind: DaemonSet, name: a}]}}`, `{secret: {restart: [{kind: Job, name: a}]}}`, `supported values: "Deployment", "StatefulSet", "DaemonSet"`),
	Entry("each once", `{secret: {restart: [{kind: Deployment, name: a}, {kind: Deployment, name: b}]}}`, `{secret: {restart: [{kind: Deployment, name: a}, {kind: Deployment, name: a}]}}`, "Duplicate value"),
	Entry("in the namespace of the key", `{secret: {restart: [{kind: Deployment, name: a}]}}`, `{secret: {restart: [{kind: Deployment, name: other/a}]}}`, "want lower-case letters"),
	Entry("Pods are refreshed, or nothing is", `{secret: {refresh: Pods}}`, `{secret: {refresh: Nodes}}`, `supported values: "None", "Pods"`),
	Entry("secret excludes digests", `{digests: [{sha256: "`+digest+`"}]}`, `{secret: {}, digests: [{sha256: "`+digest+`"}]}`, "give secret or digests, not both"),
	Entry("a digest has 64 lower-case digits", `{digests: [{sha256: "`+digest+`", hint: "…1234"}]}`, `{digests: [{sha256: "`+strings.ToUpper(digest)+`"}]}`, "want 64 lower-case hexadecimal digits"),
	Entry("no digest comes twice", `{digests: [{sha256: "`+digest+`"}, {sha256: "`+otherDigest+`"}]}`, `{digests: [{sha256: "`+digest+`"}, {sha256: "`+digest+`"}]}`, "Duplicate value"),
	Entry("there is at least one", `{digests: [{sha256: "`+digest+`"}]}`, `{digests: []}`, "spec.digests"),
	Entry("and at most four", `{digests: `+many(4, `{sha256: "%d`+digest[:63]+`"}`)+`}`, `{digests: `+many(5, `{sha256: "%d`+digest[:63]+`"}`)+`}`, "spec.digests: Too many"),
	Entry("a hint is short", `{digests: [{sha256: "`+digest+`", hint: "0123456789abcdef"}]}`, `{digests: [{sha256: "`+digest+`", hint: "0123456789abcdefg"}]}`, "hint: Too long"),
	Entry("no field can hold a token", `{}`, `{token: "not-a-field"}`, `unknown field "spec.token"`),
)

// Each is one rule about changes: from, to what it accepts, to what it rejects with which words.
var _ = DescribeTable("changing", func(ctx SpecContext, from, accepted, rejected, because string) {
	change := func(to string) error {
		o, err := create(ctx, from)
		Expect(err).NotTo(HaveOccurred())
		o.Object["spec"] = apikey(to).Object["spec"]
		_, err = keys.Update(ctx, o, metav1.UpdateOptions{})
		return err
	}
	Expect(change(accepted)).To(Succeed())
	err := change(rejected)
	Expect(err).To(MatchError(ContainSubstring(because)))
	said += err.Error()
},
	Entry("a revoked key stays revoked", `{state: Revoked}`, `{state: Revoked, stateReason: leaked}`, `{state: Active}`, "spec.state: Forbidden: a revoked key stays revoked"),
	Entry("also when its state is left out", `{state: Revoked}`, `{state: Revoked}`, `{}`, "a revoked key stays revoked"),
	Entry("also by way of Suspended", `{state: Revoked}`, `{state: Revoked}`, `{state: Suspended}`, "a revoked key stays revoked"),
	Entry("digests cannot be taken away", `{digests: [{sha256: "`+digest+`"}]}`, `{digests: [{sha256: "`+otherDigest+`"}]}`, `{}`, "digests can be neither added to nor removed from"),
	Entry("nor given to a key that delivers", `{}`, `{secret: {name: other}}`, `{digests: [{sha256: "`+digest+`"}]}`, "digests can be neither added to nor removed from"),
)

var _ = It("fills in the defaults", func(ctx SpecContext) {
	o, err := create(ctx, `{secret: {}}`)
	Expect(err).NotTo(HaveOccurred())
	Expect(o.Object["spec"]).To(Equal(map[string]any{"state": "Active", "role": "member", "secret": map[string]any{"key": "token"}}))
})

// said is what the API server said to all that was rejected.
var said string

// Every rule speaks for itself: a pattern only says that it does not match, and a message that no test has read may
// say anything.
var _ = AfterSuite(func() {
	if suite, _ := GinkgoConfiguration(); len(suite.FocusStrings) > 0 {
		return
	}
	text, err := os.ReadFile("../../config/crd/bases/auth.kaana.com_apikeys.yaml")
	Expect(err).NotTo(HaveOccurred())
	var crd map[string]any
	Expect(yaml.Unmarshal(text, &crd)).To(Succeed())
	rules := 0
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch n := node.(type) {
		case []any:
			for i, v := range n {
				walk(fmt.Sprintf("%s[%d]", path, i), v)
			}
		case map[string]any:
			if p, ok := n["pattern"].(string); ok && strings.Contains(path, "properties.spec.") && n["format"] != "date-time" {
				Fail(path + " has the pattern " + p + ": want a rule with a message")
			}
			if _, ok := n["minLength"]; ok && strings.Contains(path, "properties.spec.") {
				Fail(path + " has a minLength: want a rule with a message")
			}
			if message, ok := n["message"].(string); ok && n["rule"] != nil {
				rules++
				Expect(said).To(ContainSubstring(message), path+": no test has read this message")
			}
			for k, v := range n {
				walk(path+"."+k, v)
			}
		}
	}
	walk("", crd)
	Expect(rules).To(BeNumerically(">", 30))
})
