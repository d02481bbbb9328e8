// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The access table, cell by cell: + they may, - they are forbidden (403), 0 they may, but this key is not
// theirs to see (404).
const (
	columns = "admin member viewer keys:read keys:write projects:read activity:read other"
	table   = `
GET    /api/user                          +     +      +      +         +          +             +             +
GET    /api/keys/self                     +     +      +      +         +          +             +             +
GET    /api/projects                      +     +      +      -         -          +             -             -
GET    /api/projects/acme-dev             +     +      +      -         -          +             -             -
GET    /api/keys                          +     +      +      +         -          -             -             -
GET    /api/admin/keys                    +     -      -      -         -          -             -             -
GET    /api/keys/acme-dev/MINE            +     +      +      +         -          -             -             -
GET    /api/keys/acme-dev/THEIRS          +     0      0      0         -          -             -             -
POST   /api/keys                          +     +      -      -         +          -             -             -
PATCH  /api/keys/acme-dev/MINE            +     +      -      -         +          -             -             -
PATCH  /api/keys/acme-dev/THEIRS          +     0      -      -         0          -             -             -
POST   /api/keys/acme-dev/MINE/rotate     +     +      -      -         +          -             -             -
POST   /api/keys/acme-dev/THEIRS/rotate   +     0      -      -         0          -             -             -
POST   /api/keys/acme-dev/MINE/revoke     +     +      -      -         +          -             -             -
POST   /api/keys/acme-dev/THEIRS/revoke   +     0      -      -         0          -             -             -
DELETE /api/keys/acme-dev/MINE            +     +      -      -         +          -             -             -
DELETE /api/keys/acme-dev/THEIRS          +     0      -      -         0          -             -             -
GET    /api/keys/acme-dev/MINE/activity   +     +      +      -         -          -             +             -
GET    /api/keys/acme-dev/THEIRS/activity +     0      0      -         -          -             0             -
GET    /api/keys/acme-dev/MINE/history    +     +      +      -         -          -             +             -
GET    /api/keys/acme-dev/THEIRS/history  +     0      0      -         -          -             0             -
GET    /api/admin/activity                +     -      -      -         -          -             -             -
GET    /api/projects/globex-prod          -     -      -      -         -          -             -             -
GET    /api/keys?project=globex-prod      -     -      -      -         -          -             -             -
`
)

var _ = It("keeps to the access table, cell by cell", func(ctx SpecContext) {
	names := strings.Fields(columns)
	tokens := map[string]string{}
	for _, column := range names {
		owner, role, scopes := `{id: "1002x", username: max@table.example}`, column, ""
		if column == "admin" {
			owner = `{id: "1001x", username: ada@table.example}`
		}
		if strings.Contains(column, ":") || column == "other" {
			role, scopes = "member", fmt.Sprintf(`, scopes: [%q]`, column)
		}
		name := "cell-" + strings.ReplaceAll(column, ":", "-")
		applyKey(ctx, name, fmt.Sprintf(`{owner: %s, role: %s%s}`, owner, role, scopes))
		kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "-n", "acme-dev", "apikey/"+name)
		tokens[column] = token(ctx, "acme-dev", name, "token")
		Eventually(func() int { return status(tokens[column]) }).Should(Equal(200))
	}
	administrator, _ := warned("anna")
	covered := map[string]bool{}
	for _, row := range strings.Split(strings.TrimSpace(table), "\n") {
		cells := strings.Fields(row)
		method, path := cells[0], cells[1]
		covered[openAPI().operation(method, path)] = true
		for i, want := range cells[2:] {
			// Fresh keys for each cell, because some are gone afterwards.
			mine, theirs := fresh(), fresh()
			for name, spec := range map[string]string{mine: `{owner: {id: "1002x", username: max@table.example}, role: viewer, scopes: ["keys:write"], state: Suspended}`,
				theirs: `{owner: {id: "other", username: other@table.example}, role: viewer, state: Suspended}`} {
				_, err := administrator.Create(ctx, manifest(name, parse(spec)), metav1.CreateOptions{})
				Expect(err).NotTo(HaveOccurred())
			}
			at := strings.NewReplacer("MINE", mine, "THEIRS", theirs).Replace(path)
			var send any
			switch method {
			case "POST", "PATCH":
				send = body{}
			}
			if at == "/api/keys" && method == "POST" {
				send = body{"name": fresh(), "project": "acme-dev", "role": "viewer"}
			}
			r := call(method, at, tokens[names[i]], send)
			got := map[bool]string{true: "+", false: fmt.Sprint(r.Status)}[r.Status < 300]
			switch r.Status {
			case http.StatusForbidden:
				got = "-"
			case http.StatusNotFound:
				got = "0"
			}
			Expect(got).To(Equal(want), "%s as %s: %d %s", row, names[i], r.Status, r.Raw)
		}
	}
	for path, item := range openAPI().document["paths"].(body) {
		for method := range item.(body) {
			Expect(covered).To(HaveKey(openAPI().operation(method, path)), "no row for "+method+" "+path)
		}
	}
})

// requests returns every request of the OpenAPI document about a key.
func requests(project, name string) (out [][2]string) {
	fill := strings.NewReplacer("{project}", url.PathEscape(project), "{name}", url.PathEscape(name))
	for path, item := range openAPI().document["paths"].(body) {
		for method := range item.(body) {
			out = append(out, [2]string{strings.ToUpper(method), fill.Replace(path)})
		}
	}
	return out
}

// isolated tries every endpoint with another tenant's project and key, and with ones that do not exist, and
// wants no difference.
func isolated(ctx SpecContext, tokens map[string]string, project, name string) {
	GinkgoHelper()
	before := kubectl(ctx, "get", "apikey", "-n", project, name, "-o", "yaml")
	const nowhere = "no-such-project"
	for who, t := range tokens {
		for i, r := range requests(project, name) {
			if !strings.Contains(r[1], project) {
				continue
			}
			var send any
			if r[0] != "GET" && r[0] != "DELETE" {
				send = body{}
			}
			there := call(r[0], r[1], t, send)
			Expect(there.Status).To(Equal(403), "%s: %s %s: %s", who, r[0], r[1], there.Raw)
			elsewhere := call(r[0], strings.ReplaceAll(r[1], project, nowhere), t, send)
			Expect(anonymous(there)).To(Equal(anonymous(elsewhere)), "%s tells %d: %s %s", who, i, r[0], r[1])
		}
		for _, path := range []string{"/api/keys?project=" + project, "/api/admin/keys?project=" + project, "/api/keys?project=" + nowhere} {
			Expect(call("GET", path, t, nil).Status).To(Equal(403), who)
		}
		for _, path := range []string{"/api/keys?limit=100", "/api/keys?limit=100&q=" + name, "/api/admin/keys?limit=100&q=" + name,
			"/api/keys?limit=100&cursor=" + cursorAt(project), "/api/admin/keys?limit=100&owner=gil@globex.example"} {
			Expect(call("GET", path, t, nil).Raw).NotTo(ContainSubstring(`"project":"`+project+`"`), who+" at "+path)
		}
		there := call("POST", "/api/keys", t, body{"name": "x", "project": project})
		Expect(there.Status).To(Equal(403), there.Raw)
		Expect(anonymous(there)).To(Equal(anonymous(call("POST", "/api/keys", t, body{"name": "x", "project": nowhere}))))
	}
	Expect(kubectl(ctx, "get", "apikey", "-n", project, name, "-o", "yaml")).To(Equal(before))
}

// anonymous returns a reply without what names the request.
func anonymous(r reply) string { return strings.ReplaceAll(r.Raw, r.text("requestId"), "") }

// cursorAt is a cursor that begins at a project.
func cursorAt(project string) string { return b64(`{"p":"` + project + `"}`) }

var _ = It("answers nothing with a server error, whatever it is sent", func(ctx SpecContext) {
	t := jwt(ctx, "member")
	created(t, body{"name": "fuzzed", "project": "acme-dev"})
	random := rand.New(rand.NewPCG(seed(), 1))
	pick := func(from ...any) any { return from[random.IntN(len(from))] }
	value := func() any {
		return pick(nil, "", "x", "acme-dev", "fuzzed", -1, 1e300, true, []any{}, []any{nil, 1, "a", map[string]any{}}, map[string]any{"every": 1}, map[string]any{"every": "1h", "schedule": "x"},
			strings.Repeat("ä", 300), "\x00", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z", "10.0.0.0/33", "${jndi}", "../../x", "'; DROP TABLE keys;--")
	}
	fields := []string{"name", "project", "description", "role", "scopes", "expiresAt", "allowedCIDRs", "delivery", "secretName", "rotation", "actsFor", "state", "stateReason", "overlap", "reason", "x"}
	for range 600 {
		names := []string{"fuzzed", "x", "..", "%2e%2e", "a b", strings.Repeat("n", 300), "\u2028", "fuzzed/", "*"}
		projects := []string{"acme-dev", "acme-prod", "globex-prod", "", ".", strings.Repeat("p", 300), "a\nb"}
		all := requests(projects[random.IntN(len(projects))], names[random.IntN(len(names))])
		r := all[random.IntN(len(all))]
		if r[0] == "DELETE" {
			continue
		}
		path := r[1]
		for range random.IntN(3) {
			path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + pick("limit", "cursor", "q", "state", "project", "owner", "z", "step", "since").(string) + "=" + url.QueryEscape(fmt.Sprint(value()))
		}
		var send any
		if r[0] != "GET" {
			b := body{}
			for range random.IntN(6) {
				b[fields[random.IntN(len(fields))]] = value()
			}
			if send = b; random.IntN(5) == 0 {
				send = pick("", "{", "null", "[]", `"x"`, "{}{}", strings.Repeat("[", 10_000), "\xff")
			}
		}
		headers := []string{}
		if random.IntN(4) == 0 {
			headers = append(headers, pick("If-Match", "Idempotency-Key", "Accept", "Content-Type").(string), pick("*", `"1"`, "x", "application/json", "text/html;q=x").(string))
		}
		got := call(r[0], path, t, send, headers...)
		Expect(got.Status).To(BeNumerically("<", 500), "%s %s %v %v: %s", r[0], path, headers, send, got.Raw)
	}
})
