// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kaana/apikey-operator/internal/apikey"
)

// Values at the edges of what the API server accepts, and beyond. The API server decides which is which.
var (
	edgeTimes = []string{"1970-01-01T00:00:00Z", "9998-12-31T23:59:59Z", "9998-12-31T23:59:59.999999999999Z", "9998-12-31T23:59:59-23:59",
		"9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+23:59", "2027-02-29T00:00:00Z",
		"2028-02-29T00:00:00+00:00", "2030-06-30T23:59:60Z", "2030-01-01T24:00:00Z", "2106-02-07T06:28:16Z", "2262-04-11T23:47:17Z", "10000-01-01T00:00:00Z"}
	edgeDurations = []string{"5m", "0s", "2562047h", "2562048h", "9999999999h", "0.0000000001h", "720h0m0.000000001s", "1h1h1h", "99999999999999999999999999999s", "300000ms", "106751d", "-1h"}
	edgeTexts     = []string{"", "a", strings.Repeat("a", 253), strings.Repeat("é", 253), strings.Repeat("a", 256), strings.Repeat("\U0001F511", 256), "\x00", "a\nb", "a\rb", "\x1b[31m", "\u009b", "\u202e", "\ufeff",
		"\ufffe", "\U0010ffff", "<script>alert(1)</script>", `{{ .Token }}`, "%s%n", "'; DROP TABLE keys; --", "null", "~", "- a: b", "\u2028"}
	edgeSchedules = []string{"* * * * *", "0 0 29 2 *", "0 0 31 2 *", "59 23 31 12 7", "*/1 */1 */1 */1 */1", "@daily", "0 0 * * sun-mon", "0-59/60 * * * *", strings.Repeat("0,", 60) + "0 0 * * *"}
	edgeZones     = []string{"UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Mars/Olympus", "../etc/passwd", "Local", strings.Repeat("A", 64)}
	edgeCIDRs     = []string{"0.0.0.0/0", "::/0", "10.0.0.1/32", "10.0.0.0/33", "::ffff:10.0.0.0/104", "fe80::1%eth0/64", "2001:db8::/129", "10.0.0.0/08", "1.2.3.4"}
	edgeNames     = []string{"a", strings.Repeat("a", 63), strings.Repeat("a", 253), "a.b", "auth0|1001", "system:admin", "a/b", "a b", "*", "ada@acme.example"}
)

// extremeKey draws an ApiKey whose fields have such values. Most are refused for one of them, so it has few.
func extremeKey(draw *rand.Rand, n int) map[string]any {
	pick := func(from []string) string { return from[draw.IntN(len(from))] }
	spec := map[string]any{}
	fields := []func(){
		func() { spec["expiresAt"] = pick(edgeTimes) },
		func() { spec["description"] = pick(edgeTexts) },
		func() { spec["stateReason"] = pick(edgeTexts) },
		func() { spec["allowedCIDRs"] = []any{pick(edgeCIDRs), pick(edgeCIDRs)} },
		func() { spec["owner"] = map[string]any{"id": pick(edgeNames), "username": pick(edgeNames)} },
		func() { spec["scopes"] = []any{pick(edgeNames), pick(edgeTexts)} },
		func() {
			spec["rotation"] = map[string]any{"every": pick(edgeDurations), "overlap": pick(edgeDurations)}
		},
		func() {
			spec["rotation"] = map[string]any{"schedule": pick(edgeSchedules), "timeZone": pick(edgeZones)}
		},
		func() { spec["secret"] = map[string]any{"name": pick(edgeNames), "key": pick(edgeTexts)} },
		func() {
			spec["secret"] = map[string]any{"template": map[string]any{"data": map[string]any{"a": pick(edgeTexts)}, "labels": map[string]any{"b": pick(edgeTexts)}, "annotations": map[string]any{"c": pick(edgeTexts)}}}
		},
		func() {
			digest := apikey.DigestOf(fmt.Sprint("extreme", n)).String()
			spec["digests"] = []any{map[string]any{"sha256": digest, "hint": pick(edgeTexts), "validUntil": pick(edgeTimes)}}
		},
		func() { spec["state"] = pick([]string{"Active", "Suspended", "Revoked", "Paused", ""}) },
		func() { spec["role"] = pick([]string{"viewer", "member", "admin", "root", ""}) },
	}
	for range 1 + draw.IntN(2) {
		fields[draw.IntN(len(fields))]()
	}
	metadata := map[string]any{"name": fmt.Sprint("extreme-", n), "namespace": "acme-dev"}
	if draw.IntN(4) == 0 {
		// Annotations are Kubernetes' own: with control characters in them, kubectl shows no object as YAML.
		printable := strings.ToValidUTF8(strings.Map(func(c rune) rune {
			if unicode.IsPrint(c) {
				return c
			}
			return -1
		}, pick(edgeTexts)), "")
		metadata["annotations"] = map[string]any{"auth.kaana.com/rotate-requested-at": printable, "auth.kaana.com/suspended-by": printable, "note": strings.Repeat("x", 100_000)}
	}
	return map[string]any{"apiVersion": "auth.kaana.com/v1alpha1", "kind": "ApiKey", "metadata": metadata, "spec": spec}
}

var _ = It("lists, shows, reconciles and writes back whatever the API server accepts, and no key affects another", func(ctx SpecContext) {
	const seed, tries = 20261125, 600
	draw := rand.New(rand.NewPCG(seed, 0))
	admin := jwt(ctx, "admin")
	witness := newKey(ctx, "witness")
	administrator, _ := warned("anna")
	accepted := map[string]map[string]any{}
	for n := range tries {
		o := extremeKey(draw, n)
		made, err := administrator.Create(ctx, &unstructured.Unstructured{Object: o}, metav1.CreateOptions{})
		if err == nil {
			accepted[made.GetName()] = o["spec"].(map[string]any)
		}
	}
	Expect(len(accepted)).To(And(BeNumerically(">", tries/10), BeNumerically("<", tries)), "the values are all good, or all bad")
	DeferCleanup(func(ctx context.Context) {
		for name := range accepted {
			_ = administrator.Delete(ctx, name, metav1.DeleteOptions{})
		}
	})
	text := func(spec map[string]any) string { b, _ := json.Marshal(spec); return string(b) }

	By("it is reconciled: Ready answers the spec")
	for name, spec := range accepted {
		Eventually(func() (string, error) {
			o, err := administrator.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return "", err
			}
			observed, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
			if observed != o.GetGeneration() {
				return "waits", nil
			}
			return "reconciled", nil
		}, "60s", "20ms").Should(Equal("reconciled"), name+" "+text(spec))
	}

	By("it is shown, and written back")
	for name, spec := range accepted {
		r := call("GET", "/api/keys/acme-dev/"+name, admin, nil)
		Expect(r.Status).To(Equal(200), "%s %s: %s", name, text(spec), r.Raw)
		r = call("GET", "/api/keys/acme-dev/"+name+"/history", admin, nil)
		Expect(r.Status).To(Equal(200), "%s %s: %s", name, text(spec), r.Raw)
		_, err := administrator.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"labels":{"touched":"yes"}}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred(), name+" "+text(spec))
		if spec["state"] != "Revoked" {
			r = call("PATCH", "/api/keys/acme-dev/"+name, admin, body{"state": "Suspended"})
			Expect(r.Status).To(Equal(200), "%s %s: %s", name, text(spec), r.Raw)
		}
	}

	By("it is listed, by REST, kubectl and the plugin")
	seen, cursor := 0, ""
	for {
		r := call("GET", "/api/keys?project=acme-dev&limit=100&q=extreme-&cursor="+cursor, admin, nil)
		Expect(r.Status).To(Equal(200), r.Raw)
		for _, i := range r.Body["items"].([]any) {
			if strings.HasPrefix(i.(body)["name"].(string), "extreme-") {
				seen++
			}
		}
		next, more := r.Body["next"].(string)
		if !more || next == "" {
			break
		}
		cursor = next
	}
	Expect(seen).To(Equal(len(accepted)))
	Expect(strings.Count(kubectl(ctx, "get", "apikeys", "-n", "acme-dev", "-o", "name"), "extreme-")).To(Equal(len(accepted)))
	Expect(strings.Count(kubectl(ctx, "get", "apikeys", "-n", "acme-dev", "-o", "yaml"), "kind: ApiKey\n")).To(BeNumerically(">", len(accepted)))
	listed := done(ctx, "", "list", "-n", "acme-dev")
	Expect(strings.Count(listed.out, "extreme-")).To(Equal(len(accepted)))

	By("and the key beside them works")
	Expect(status(witness)).To(Equal(200))
})
