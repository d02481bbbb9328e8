// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kaana/apikey-operator/test/issuer"
)

// reply is what a client of the REST API sees.
type reply struct {
	Status int
	Header http.Header
	Raw    string
	Body   map[string]any
}

// text returns a member of the body.
func (r reply) text(name string) string { return fmt.Sprint(r.Body[name]) }

// contract is the OpenAPI document that the server serves.
type contract struct {
	document map[string]any
	compiler *jsonschema.Compiler
}

var served *contract

func openAPI() *contract {
	GinkgoHelper()
	if served != nil {
		return served
	}
	resp, err := op.Client.Get(op.URL + "/api/openapi.json")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = resp.Body.Close() }()
	doc, err := jsonschema.UnmarshalJSON(resp.Body)
	Expect(err).NotTo(HaveOccurred())
	c := &contract{document: doc.(map[string]any), compiler: jsonschema.NewCompiler()}
	c.compiler.AssertFormat()
	Expect(c.compiler.AddResource("https://kaana.test/openapi.json", doc)).To(Succeed())
	served = c
	return c
}

// operation returns the pointer to the operation of a request, "" when there is none.
func (c *contract) operation(method, path string) string {
	path, _, _ = strings.Cut(path, "?")
	best := ""
	for template, item := range c.document["paths"].(map[string]any) {
		parts, given := strings.Split(template, "/"), strings.Split(path, "/")
		matches := len(parts) == len(given)
		for i := range parts {
			matches = matches && (strings.HasPrefix(parts[i], "{") && given[i] != "" || parts[i] == given[i])
		}
		_, has := item.(map[string]any)[strings.ToLower(method)]
		if matches && has && (best == "" || !strings.Contains(template, "{")) {
			best = template
		}
	}
	if best == "" {
		return ""
	}
	return "/paths/" + strings.ReplaceAll(best, "/", "~1") + "/" + strings.ToLower(method)
}

// check holds an answer against the document.
func (c *contract) check(method, path string, r reply) {
	GinkgoHelper()
	at := c.operation(method, path)
	if at == "" || r.Status == http.StatusMethodNotAllowed { // the path is another one than it looks
		return
	}
	about := fmt.Sprintf("%s %s: %d %s", method, path, r.Status, r.Raw)
	if r.Status == http.StatusNoContent {
		Expect(r.Raw).To(BeEmpty(), about)
		return
	}
	var node any = c.document
	for _, step := range strings.Split(strings.TrimPrefix(at, "/"), "/") {
		node = node.(map[string]any)[strings.ReplaceAll(step, "~1", "/")]
	}
	Expect(node.(map[string]any)["responses"]).To(HaveKey(fmt.Sprint(r.Status)), "not documented: "+about)
	schema, err := c.compiler.Compile(fmt.Sprintf("https://kaana.test/openapi.json#%s/responses/%d/content/application~1json/schema", at, r.Status))
	Expect(err).NotTo(HaveOccurred(), about)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(r.Raw))
	Expect(err).NotTo(HaveOccurred(), about)
	Expect(schema.Validate(value)).To(Succeed(), about)
}

// call makes a request and holds the answer against the OpenAPI document. Headers are names and values.
func call(method, path, token string, body any, headers ...string) reply {
	GinkgoHelper()
	var text io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		text = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		Expect(err).NotTo(HaveOccurred())
		text = strings.NewReader(string(encoded))
	}
	r, err := http.NewRequest(method, op.URL+path, text)
	Expect(err).NotTo(HaveOccurred())
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := op.Client.Do(r)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	Expect(err).NotTo(HaveOccurred())
	out := reply{Status: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
	_ = json.Unmarshal(raw, &out.Body)
	if asked, _, _ := strings.Cut(path, "?"); resp.Request.URL.EscapedPath() == asked { // else it was sent to where the path leads
		openAPI().check(method, path, out)
	}
	return out
}

// jwt signs an account of the issuer in.
func jwt(ctx SpecContext, account string) string {
	GinkgoHelper()
	t, err := issuer.SignIn(ctx, op.Issuer.URL, op.CAFile, account)
	Expect(err).NotTo(HaveOccurred())
	return t.AccessToken
}

type body = map[string]any

// created makes a key and returns its token.
func created(token string, b body) string {
	GinkgoHelper()
	r := call("POST", "/api/keys", token, b)
	Expect(r.Status).To(Equal(201), r.Raw)
	return r.text("token")
}

var _ = Describe("the REST API", Ordered, func() {
	var admin, member, foreign string
	BeforeAll(func(ctx SpecContext) {
		admin, member, foreign = jwt(ctx, "admin"), jwt(ctx, "member"), jwt(ctx, "globex")
	})

	It("creates a key, shows its token once, rotates and revokes it", func(ctx SpecContext) {
		r := call("POST", "/api/keys", member, body{"name": "first", "project": "acme-dev", "description": "tries things", "scopes": []string{"projects:read"},
			"expiresAt": "2035-01-01T00:00:00Z", "allowedCIDRs": []string{"127.0.0.0/8"}})
		Expect(r.Status).To(Equal(201), r.Raw)
		Expect(r.Header.Get("Cache-Control")).To(Equal("no-store"))
		Expect(r.Header.Get("X-Request-Id")).To(MatchRegexp("^[0-9a-f]{16}$"))
		Expect(r.Body).To(And(HaveKeyWithValue("state", "Active"), HaveKeyWithValue("role", "member"), HaveKeyWithValue("delivery", "once"),
			HaveKeyWithValue("owner", body{"id": "auth0|1002", "username": "max@acme.example"})))
		t := r.text("token")
		Expect(t).To(MatchRegexp(`^kaana_[0-9A-Za-z]{49}$`))

		By("it is an account's key, at once or nearly so, and an ApiKey like any other")
		Eventually(func() answer { return get("/api/user", "Bearer "+t) }).Should(Equal(answer{Status: 200, Body: `{"id":"auth0|1002","username":"max@acme.example","role":"member"}`}))
		Expect(get("/api/projects", "Bearer "+t).Status).To(Equal(200))
		Expect(kubectl(ctx, "get", "apikey", "-n", "acme-dev", "first", "-o", "jsonpath={.spec.digests[0].hint} {.spec.owner.username}")).To(Equal("…" + t[len(t)-4:] + " max@acme.example"))
		for _, path := range []string{"/api/keys/acme-dev/first", "/api/keys?project=acme-dev&q=FIRST"} {
			seen := call("GET", path, member, nil)
			Expect(seen.Status).To(Equal(200))
			Expect(seen.Raw).NotTo(ContainSubstring(t[6:49]), "the token is shown again")
			Expect(seen.Raw).To(ContainSubstring(`"description":"tries things"`))
		}
		Expect(call("GET", "/api/keys/self", t, nil).text("name")).To(Equal("first"))

		By("rotated, both tokens work for the overlap")
		r = call("POST", "/api/keys/acme-dev/first/rotate", member, body{"overlap": "1h"})
		Expect(r.Status).To(Equal(200), r.Raw)
		next := r.text("token")
		Expect(next).NotTo(Equal(t))
		Expect(r.Body["previousValidUntil"]).NotTo(BeNil())
		Eventually(func() int { return status(next) }).Should(Equal(200))
		Expect(status(t)).To(Equal(200))
		Expect(phasesOf(r)).To(Equal([]string{"Retiring", "Current"}))

		By("rotated without an overlap, the former ones end")
		r = call("POST", "/api/keys/acme-dev/first/rotate", member, body{"overlap": "0s"})
		last := r.text("token")
		Eventually(func() int { return status(last) }).Should(Equal(200))
		Eventually(func() []int { return []int{status(t), status(next)} }).Should(Equal([]int{401, 401}))

		By("revoked, nothing works any more, for good")
		r = call("POST", "/api/keys/acme-dev/first/revoke", member, body{"reason": "end of the test"})
		Expect(r.Body).To(And(HaveKeyWithValue("state", "Revoked"), HaveKeyWithValue("stateReason", "end of the test")))
		Eventually(func() int { return status(last) }, "1s").Should(Equal(401))
		Expect(call("PATCH", "/api/keys/acme-dev/first", member, body{"state": "Active"}).Status).To(Equal(422))
		Expect(call("POST", "/api/keys/acme-dev/first/rotate", member, nil).Status).To(Equal(409))
		Expect(call("POST", "/api/keys/acme-dev/first/revoke", member, nil).Status).To(Equal(200))
		Expect(call("DELETE", "/api/keys/acme-dev/first", member, nil).Status).To(Equal(204))
		Expect(call("GET", "/api/keys/acme-dev/first", member, nil).Status).To(Equal(404))
	})

	It("tells who changed a key, also after it is deleted", func(ctx SpecContext) {
		t := created(member, body{"name": "told", "project": "acme-dev", "description": "SECRET-TEXT"})
		created(admin, body{"name": "robot", "project": "acme-dev", "role": "admin", "actsFor": "itself"})
		call("PATCH", "/api/keys/acme-dev/told", admin, body{"role": "viewer", "description": "SECRET-TEXT-2"})
		second := call("POST", "/api/keys/acme-dev/told/rotate", member, body{"overlap": "1h"}).text("token")
		Expect(call("PATCH", "/api/keys/acme-dev/told", member, body{"role": "admin"}).Status).To(Equal(403), "which changes nothing")
		kubectl(ctx, "annotate", "apikey", "-n", "acme-dev", "told", "note=by-hand")
		revoked := call("POST", "/api/keys/acme-dev/told/revoke", member, body{"reason": "SECRET-TEXT-3"})
		Expect(revoked.Status).To(Equal(200))
		history := func(token string) []string {
			var out []string
			r := call("GET", "/api/keys/acme-dev/told/history", token, nil)
			if r.Status != 200 {
				return []string{r.Raw}
			}
			Expect(r.Body).To(HaveKeyWithValue("recorded", true))
			Expect(r.Raw).NotTo(Or(ContainSubstring("SECRET-TEXT"), ContainSubstring(t[6:40]), ContainSubstring(second[6:40])))
			for _, i := range r.Body["items"].([]any) {
				c, author := i.(body), "not recorded"
				if a, ok := c["actor"].(body); ok {
					author = a["username"].(string)
				}
				detail, _ := c["detail"].(string)
				out = append(out, strings.TrimSpace(fmt.Sprintf("%s by %s via %s %s", c["operation"], author, c["endpoint"], detail)))
			}
			return out
		}
		want := []string{
			"revoke by max@acme.example via rest state Active → Revoked; stateReason",
			"change by not recorded via kubernetes",
			"rotate by max@acme.example via rest",
			"change by ada@acme.example via rest description; role member → viewer",
			"create by max@acme.example via rest state Active; role member; scopes user:read projects:read keys:read keys:write activity:read; owner max@acme.example (auth0|1002)",
		}
		for _, token := range []string{member, admin} {
			Eventually(func() []string { return history(token) }).Should(ConsistOf(want))
		}
		r := call("GET", "/api/keys/acme-dev/told/history", member, nil)
		first := r.Body["items"].([]any)[0].(body)
		Expect(first).To(And(HaveKeyWithValue("requestId", revoked.Header.Get("X-Request-Id")), HaveKeyWithValue("outcome", "done"), HaveKeyWithValue("before", HaveLen(2))))
		Expect(call("GET", "/api/keys/acme-dev/told/history", foreign, nil).Status).To(Equal(403))

		By("also after it is deleted, for an admin")
		Expect(call("DELETE", "/api/keys/acme-dev/told", admin, nil).Status).To(Equal(204))
		Eventually(func() []string { return history(admin) }).Should(ContainElement("delete by ada@acme.example via rest"))
		Expect(call("GET", "/api/keys/acme-dev/told/history", member, nil).Status).To(Equal(404))
		Expect(call("GET", "/api/keys/acme-dev/never/history", admin, nil).Status).To(Equal(404))
	})

	It("has the controller deliver to a Secret when asked to, and sees what kubectl makes", func(ctx SpecContext) {
		r := call("POST", "/api/keys", member, body{"name": "to-secret", "project": "acme-dev", "delivery": "secret", "secretName": "delivered", "rotation": body{"every": "720h", "overlap": "1h"}})
		Expect(r.Status).To(Equal(201), r.Raw)
		Expect(r.Body).NotTo(HaveKey("token"))
		kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "-n", "acme-dev", "apikey/to-secret")
		t := token(ctx, "acme-dev", "delivered", "token")
		Eventually(func() int { return status(t) }).Should(Equal(200))
		Expect(call("POST", "/api/keys/acme-dev/to-secret/rotate", member, nil).Body).NotTo(HaveKey("token"))
		Eventually(func() string { return token(ctx, "acme-dev", "delivered", "token") }).ShouldNot(Equal(t))
		Eventually(func() []string { return phasesOf(call("GET", "/api/keys/acme-dev/to-secret", member, nil)) }).Should(Equal([]string{"Retiring", "Current"}))

		By("kubectl suspends, REST sees it, and only an admin takes it back")
		kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "to-secret", "--type=merge", "-p", `{"spec":{"state":"Suspended","stateReason":"by kubectl"}}`)
		Expect(call("GET", "/api/keys/acme-dev/to-secret", member, nil).Body).To(And(HaveKeyWithValue("state", "Suspended"), HaveKeyWithValue("stateReason", "by kubectl")))
		Expect(call("PATCH", "/api/keys/acme-dev/to-secret", member, body{"state": "Active"}).Status).To(Equal(403))
		Expect(call("PATCH", "/api/keys/acme-dev/to-secret", admin, body{"state": "Active"}).Status).To(Equal(200))
		By("what somebody has suspended themselves they resume themselves")
		Expect(call("PATCH", "/api/keys/acme-dev/to-secret", member, body{"state": "Suspended"}).Status).To(Equal(200))
		Expect(call("PATCH", "/api/keys/acme-dev/to-secret", member, body{"state": "Active"}).Status).To(Equal(200))
		Expect(call("PATCH", "/api/keys/acme-dev/to-secret", admin, body{"state": "Suspended"}).Status).To(Equal(200))
		Expect(call("PATCH", "/api/keys/acme-dev/to-secret", member, body{"state": "Active", "description": "x"}).Status).To(Equal(403))
		Expect(call("PATCH", "/api/keys/acme-dev/to-secret", admin, body{"state": "Active"}).Status).To(Equal(200))
	})

	It("repeats a request of the same name without doing it twice", func(ctx SpecContext) {
		asked := body{"name": "repeated", "project": "acme-dev"}
		one := call("POST", "/api/keys", member, asked, "Idempotency-Key", "a-b-c")
		Expect(one.Status).To(Equal(201), one.Raw)
		two := call("POST", "/api/keys", member, asked, "Idempotency-Key", "a-b-c")
		Expect(two.Status).To(Equal(201), two.Raw)
		Expect(two.text("id")).To(Equal(one.text("id")))
		Eventually(func() []int { return []int{status(one.text("token")), status(two.text("token"))} }).Should(Equal([]int{401, 200}))
		Expect(call("POST", "/api/keys", member, body{"name": "another", "project": "acme-dev"}, "Idempotency-Key", "a-b-c").Status).To(Equal(422))
		Expect(call("POST", "/api/keys", admin, asked, "Idempotency-Key", "a-b-c").Status).To(Equal(409), "somebody else's name of a request")
		Expect(call("POST", "/api/keys", member, asked).Status).To(Equal(409))

		By("a rotation too")
		first := call("POST", "/api/keys/acme-dev/repeated/rotate", member, nil, "Idempotency-Key", "r").text("token")
		second := call("POST", "/api/keys/acme-dev/repeated/rotate", member, nil, "Idempotency-Key", "r")
		Eventually(func() []int { return []int{status(two.text("token")), status(first), status(second.text("token"))} }).Should(Equal([]int{200, 401, 200}))
		Expect(phasesOf(second)).To(Equal([]string{"Retiring", "Current"}))
	})

	It("changes a key only as its reader knows it", func(ctx SpecContext) {
		created(member, body{"name": "changed", "project": "acme-dev", "expiresAt": "2035-01-01T00:00:00Z", "scopes": []string{"projects:read"}})
		seen := call("GET", "/api/keys/acme-dev/changed", member, nil)
		tag := seen.Header.Get("ETag")
		r := call("PATCH", "/api/keys/acme-dev/changed", member, body{"description": "new", "expiresAt": nil}, "If-Match", tag, "Content-Type", "application/merge-patch+json")
		Expect(r.Status).To(Equal(200), r.Raw)
		Expect(r.Body).To(And(HaveKeyWithValue("description", "new"), HaveKeyWithValue("expiresAt", BeNil()), HaveKeyWithValue("scopes", []any{"projects:read"})))
		Expect(call("PATCH", "/api/keys/acme-dev/changed", member, body{"description": "newer"}, "If-Match", tag).Status).To(Equal(412))
		Expect(call("DELETE", "/api/keys/acme-dev/changed", member, nil, "If-Match", tag).Status).To(Equal(412))
		Expect(call("DELETE", "/api/keys/acme-dev/changed", member, nil, "If-Match", call("GET", "/api/keys/acme-dev/changed", member, nil).Header.Get("ETag")).Status).To(Equal(204))
	})

	DescribeTable("says what is wrong with a request, and where", func(ctx SpecContext, status int, field string, send any, headers ...string) {
		r := call("POST", "/api/keys", member, send, headers...)
		Expect(r.Status).To(Equal(status), r.Raw)
		Expect(r.text("requestId")).To(Equal(r.Header.Get("X-Request-Id")))
		if field != "" {
			Expect(r.Body["details"]).To(ContainElement(HaveKeyWithValue("field", field)), r.Raw)
		}
	},
		Entry("broken JSON", 400, "", `{"name":`),
		Entry("another type", 415, "", "name=x", "Content-Type", "text/plain"),
		Entry("too large", 413, "", `{"name":"`+strings.Repeat("x", 1<<17)+`"}`),
		Entry("no name", 422, "", body{"project": "acme-dev"}),
		Entry("a name that is none", 422, "name", body{"name": "No Name", "project": "acme-dev"}),
		Entry("a role that is none", 422, "role", body{"name": "x", "project": "acme-dev", "role": "root"}),
		Entry("a field that is not known", 422, "colour", body{"name": "x", "colour": "y", "project": "acme-dev"}),
		Entry("a network that is none", 422, "allowedCIDRs[0]", body{"name": "x", "project": "acme-dev", "allowedCIDRs": []string{"10.0.0.0"}}),
		Entry("a rotation that is too fast", 422, "rotation.every", body{"name": "x", "project": "acme-dev", "rotation": body{"every": "1s"}}),
		Entry("a duration that is none", 422, "rotation.every", body{"name": "x", "project": "acme-dev", "rotation": body{"every": "soon"}}),
		Entry("a schedule that is none", 422, "rotation", body{"name": "x", "project": "acme-dev", "rotation": body{"schedule": "0 3 * * never"}}),
		Entry("an expiry that is none", 422, "", body{"name": "x", "project": "acme-dev", "expiresAt": "tomorrow"}),
	)

	It("pages through keys by project and name", func(ctx SpecContext) {
		for i := range 7 {
			created(member, body{"name": fmt.Sprint("paged-", i), "project": map[bool]string{true: "acme-dev", false: "acme-prod"}[i%2 == 0]})
		}
		var names []string
		for cursor := ""; ; {
			r := call("GET", "/api/keys?q=paged-&limit=2&cursor="+cursor, member, nil)
			Expect(r.Status).To(Equal(200), r.Raw)
			for _, item := range r.Body["items"].([]any) {
				names = append(names, item.(body)["project"].(string)+"/"+item.(body)["name"].(string))
			}
			next, more := r.Body["next"].(string)
			if !more {
				break
			}
			cursor = next
		}
		Expect(names).To(Equal([]string{"acme-dev/paged-0", "acme-dev/paged-2", "acme-dev/paged-4", "acme-dev/paged-6", "acme-prod/paged-1", "acme-prod/paged-3", "acme-prod/paged-5"}))
		for _, cursor := range []string{"x", "eyJwIjoiYWNtZS1kZXYiLCJjIjoibm9uZSJ9"} {
			Expect(call("GET", "/api/keys?cursor="+cursor, member, nil).Status).To(Equal(400))
		}
		Expect(call("GET", "/api/keys?limit=0", member, nil).Status).To(Equal(422))
		Expect(call("GET", "/api/keys?stat=Active", member, nil).Status).To(Equal(422), "an unknown filter shows everything")
	})

	It("makes no key that exceeds its author", func(ctx SpecContext) {
		for name, c := range map[string]struct {
			token, field string
			ask          body
		}{
			"a member makes no admin":                 {member, "role", body{"role": "admin"}},
			"a member makes no account of its own":    {member, "actsFor", body{"actsFor": "itself"}},
			"nobody makes a scope that they lack":     {member, "scopes", body{"scopes": []string{"tokens:introspect"}}},
			"nor one that nobody has":                 {admin, "scopes", body{"scopes": []string{"everything"}}},
			"a key makes none that lives longer":      {created(member, body{"name": "limited", "project": "acme-dev", "expiresAt": "2030-01-01T00:00:00Z", "allowedCIDRs": []string{"127.0.0.0/8"}}), "expiresAt", body{"allowedCIDRs": []string{"127.0.0.1/32"}}},
			"nor one that may be used from elsewhere": {created(member, body{"name": "limited2", "project": "acme-dev", "allowedCIDRs": []string{"127.0.0.0/8"}}), "allowedCIDRs", body{"allowedCIDRs": []string{"127.0.0.0/7"}}},
			"nor from everywhere":                     {created(member, body{"name": "limited3", "project": "acme-dev", "allowedCIDRs": []string{"127.0.0.0/8"}}), "allowedCIDRs", body{}},
		} {
			c.ask["name"], c.ask["project"] = "exceeds", "acme-dev"
			Eventually(func() int { return status(c.token) }).Should(Equal(200))
			r := call("POST", "/api/keys", c.token, c.ask)
			Expect(r.Status).To(BeElementOf(403, 422), name+": "+r.Raw)
			Expect(r.Body["details"]).To(ContainElement(HaveKeyWithValue("field", c.field)), name+": "+r.Raw)
		}
		By("nor widens one, or is handed the token of one")
		narrow := created(member, body{"name": "narrow", "project": "acme-dev", "scopes": []string{"keys:read", "keys:write"}})
		created(member, body{"name": "wide", "project": "acme-dev", "scopes": []string{"keys:read", "keys:write", "projects:read"}})
		Eventually(func() int { return call("GET", "/api/keys/acme-dev/wide", narrow, nil).Status }).Should(Equal(200))
		for _, path := range []string{"narrow", "wide"} {
			Expect(call("PATCH", "/api/keys/acme-dev/"+path, narrow, body{"scopes": []string{}}).Status).To(Equal(403))
			Expect(call("PATCH", "/api/keys/acme-dev/"+path, narrow, body{"role": "admin"}).Status).To(Equal(403))
		}
		Expect(call("POST", "/api/keys/acme-dev/wide/rotate", narrow, nil).Status).To(Equal(403))
		By("but stops one")
		Expect(call("PATCH", "/api/keys/acme-dev/wide", narrow, body{"state": "Suspended", "stateReason": "leaked"}).Status).To(Equal(200))
		Expect(call("POST", "/api/keys/acme-dev/wide/revoke", narrow, nil).Status).To(Equal(200))
	})

	It("slows down who fails too often, and nobody else", func(ctx SpecContext) {
		t := newKey(ctx, "not-slowed")
		refused := 0
		for range 400 {
			if get("/api/user", "Bearer guess").Status == 429 {
				refused++
			}
		}
		Expect(refused).To(BeNumerically(">", 10))
		Expect(status(t)).To(Equal(200))
		Expect(get("/api/projects", "Bearer "+token(ctx, "acme-prod", "billing-credentials", "api-key")).Status).To(Equal(403))
	})

	It("describes itself", func(ctx SpecContext) {
		Expect(openAPI().document["openapi"]).To(HavePrefix("3.1"))
		page := get("/api/docs")
		Expect(page.Status).To(Equal(200))
		for path := range openAPI().document["paths"].(map[string]any) {
			Expect(page.Body).To(ContainSubstring("<code>" + path + "</code>"))
		}
		Expect(page.Body).NotTo(ContainSubstring("<script"))
		Expect(get("/api/openapi.yaml").Body).To(HavePrefix("components:"))
	})

	It("shows nobody another tenant's things, nor whether they exist", func(ctx SpecContext) {
		created(foreign, body{"name": "theirs", "project": "globex-prod"})
		isolated(ctx, map[string]string{"admin": admin, "member": member, "admin's key": token(ctx, "acme-prod", "quickstart", "token")}, "globex-prod", "theirs")
		isolated(ctx, map[string]string{"globex": foreign}, "acme-prod", "quickstart")
	})
})

// phasesOf returns the phases of a key's credentials.
func phasesOf(r reply) (out []string) {
	for _, c := range r.Body["credentials"].([]any) {
		out = append(out, c.(body)["phase"].(string))
	}
	return out
}

var _ = Describe("activity", Ordered, func() {
	const flush = "15s"
	It("is counted by outcome, door and network, and shown to who may see it", func(ctx SpecContext) {
		member := jwt(ctx, "member")
		t := created(member, body{"name": "active", "project": "acme-dev"})
		Eventually(func() int { return status(t) }).Should(Equal(200))
		from := func(address, path string) {
			r, err := http.NewRequest(http.MethodGet, op.URL+path, nil)
			Expect(err).NotTo(HaveOccurred())
			r.Header.Set("Authorization", "Bearer "+t)
			r.Header.Set("X-Forwarded-For", address)
			resp, err := op.Client.Do(r)
			Expect(err).NotTo(HaveOccurred())
			Expect(resp.Body.Close()).To(Succeed())
		}
		for range 5 {
			from("203.0.113.9", "/api/projects")
			from("198.51.100.9", "/auth")
			from("198.51.100.9", "/auth?role=admin")
		}
		const path = "/api/keys/acme-dev/active/activity"
		var r reply
		Eventually(func() any { r = call("GET", path, member, nil); return r.Body["denied"] }, flush).Should(BeNumerically("==", 5), r.Raw)
		Expect(r.Body["accepted"]).To(BeNumerically(">=", 11))
		Expect(r.Body["outcomes"]).To(ContainElement(And(HaveKeyWithValue("name", "role"), HaveKeyWithValue("count", BeNumerically("==", 5)))))
		Expect(r.Body["doors"]).To(ContainElement(And(HaveKeyWithValue("name", "forward_auth"), HaveKeyWithValue("count", BeNumerically("==", 10)))))
		Expect(r.Body["networks"]).To(ContainElements(HaveKeyWithValue("name", "203.0.113.0/24"), HaveKeyWithValue("name", "198.51.100.0/24")))
		Expect(r.Body["series"]).To(HaveLen(25))
		Expect(call("GET", path+"?step=minute", member, nil).Body["accepted"]).To(Equal(r.Body["accepted"]))
		Expect(call("GET", "/api/keys/acme-dev/active", member, nil).Body["lastUsedAt"]).NotTo(BeNil())
		for _, bad := range []string{"?since=2027-01-01T00:00:00Z", "?step=minute&since=2020-01-01T00:00:00Z", "?step=year", "?since=yesterday", "?since=1980-01-01T00:00:00Z"} {
			Expect(call("GET", path+bad, member, nil).Status).To(Equal(422), bad)
		}

		By("an admin sees the tenant's, nobody another's")
		admin := call("GET", "/api/admin/activity", jwt(ctx, "admin"), nil)
		Expect(admin.Body["keys"]).To(ContainElement(HaveKeyWithValue("name", "active")))
		Expect(call("GET", "/api/admin/activity", member, nil).Status).To(Equal(403))
		Expect(call("GET", path, jwt(ctx, "globex"), nil).Status).To(Equal(403))

		By("the cluster learns when a key was last used")
		Eventually(func() string {
			return kubectl(ctx, "get", "apikey", "-n", "acme-dev", "active", "-o", "jsonpath={.status.lastUsedTime}")
		}).ShouldNot(BeEmpty())

		By("a dead token that is presented is said so, in a sentence, and in an Event")
		call("POST", "/api/keys/acme-dev/active/revoke", member, nil)
		Eventually(func() int { return status(t) }).Should(Equal(401))
		Eventually(func() []any { return call("GET", path, member, nil).Body["unusual"].([]any) }, flush).Should(ContainElement(And(HaveKeyWithValue("pattern", "DeadToken"),
			HaveKeyWithValue("sentence", MatchRegexp(`A token that is revoked \([0-9a-f]{10}\) is still presented: .* in the last day, from 127\.0\.0\.0/24\. These requests are denied\.`)))))
		Eventually(func() string {
			return kubectl(ctx, "get", "events", "-n", "acme-dev", "--field-selector=reason=DeadToken")
		}, "80s", "1s").Should(ContainSubstring("apikey/active"))
		Expect(metric(`apikey_anomalies_total{pattern="DeadToken"}`)).To(BeNumerically(">=", 1))
	})

	It("survives a kill of the server, but for what was not flushed", func(ctx SpecContext) {
		t := newKey(ctx, "survivor")
		admin := jwt(ctx, "admin")
		Eventually(func() int { return status(t) }).Should(Equal(200))
		accepted := func() any { return call("GET", "/api/keys/acme-dev/survivor/activity", admin, nil).Body["accepted"] }
		Eventually(accepted, flush).Should(BeNumerically(">=", 1))
		before := accepted()
		op.Server.Kill()
		Eventually(func() int { return status(t) }).Should(Equal(200))
		Expect(accepted()).To(BeNumerically(">=", before))
		Eventually(accepted, flush).Should(BeNumerically(">", before))
	})
})
