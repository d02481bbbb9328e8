// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/test/issuer"
)

// seen is a verdict in words that all doors share: who it is, or which code they are told.
type seen struct{ user, role, code string }

// door presents a token and returns the verdict.
type door func(token string) seen

func (s seen) allowed() bool { return s.user != "" }

// denialOf returns the code in a JSON body.
func denialOf(body string) seen {
	var b struct{ Code string }
	ExpectWithOffset(1, json.Unmarshal([]byte(body), &b)).To(Succeed(), body)
	return seen{code: b.Code}
}

func restDoor(token string) seen {
	a := get("/api/user", "Bearer "+token)
	if a.Status != 200 {
		return denialOf(a.Body)
	}
	var u struct{ Username, Role string }
	Expect(json.Unmarshal([]byte(a.Body), &u)).To(Succeed())
	return seen{user: u.Username, role: u.Role}
}

func forwardAuthDoor(token string) seen {
	r, err := http.NewRequest("PURGE", op.URL+"/auth", nil)
	Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := op.Client.Do(r)
	Expect(err).NotTo(HaveOccurred())
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	for _, h := range []string{"X-Auth-Id", "X-Auth-User", "X-Auth-Role", "X-Auth-Tenant", "X-Auth-Scopes", "X-Auth-Key", "X-Auth-Method"} {
		Expect(resp.Header).To(HaveKey(h))
	}
	if resp.StatusCode != http.StatusOK {
		return denialOf(string(body))
	}
	return seen{user: resp.Header.Get("X-Auth-User"), role: resp.Header.Get("X-Auth-Role")}
}

// post sends a body and returns the answer's.
func post(path, kind, body, token string) (int, string) {
	r, err := http.NewRequest(http.MethodPost, op.URL+path, strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Content-Type", kind)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := op.Client.Do(r)
	Expect(err).NotTo(HaveOccurred())
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	Expect(err).NotTo(HaveOccurred())
	return resp.StatusCode, string(out)
}

func reviewDoor(version string) door {
	return func(token string) seen {
		body, err := json.Marshal(authenticationv1.TokenReview{TypeMeta: metav1.TypeMeta{Kind: "TokenReview", APIVersion: "authentication.k8s.io/" + version},
			Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{"x"}}})
		Expect(err).NotTo(HaveOccurred())
		status, out := post("/webhook/tokenreview", "application/json", string(body), "")
		Expect(status).To(Equal(200), out)
		var review authenticationv1.TokenReview
		Expect(json.Unmarshal([]byte(out), &review)).To(Succeed())
		Expect(review.APIVersion).To(Equal("authentication.k8s.io/" + version))
		Expect(review.Spec.Token).To(BeEmpty())
		if !review.Status.Authenticated {
			Expect(review.Status.User).To(Equal(authenticationv1.UserInfo{}))
			return seen{code: review.Status.Error}
		}
		Expect(review.Status.Audiences).To(BeEmpty(), "the server is configured for no audience")
		Expect(strings.Join(review.Status.User.Groups, " ")).NotTo(ContainSubstring("system:"))
		return seen{user: strings.TrimPrefix(review.Status.User.Username, "kaana:"), role: strings.TrimPrefix(review.Status.User.Groups[0], "apikey:role:")}
	}
}

// envoy is a client of ext_authz.
func envoy() authv3.AuthorizationClient {
	pem, err := os.ReadFile(op.CAFile)
	Expect(err).NotTo(HaveOccurred())
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := grpc.NewClient(op.ExtAuthz, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	return authv3.NewAuthorizationClient(conn)
}

// asked is what Envoy asks about a request with those headers, from 127.0.0.1.
func checkRequest(headers map[string]string, demands map[string]string) *authv3.CheckRequest {
	source := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "127.0.0.1"}}}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Source: &authv3.AttributeContext_Peer{Address: source}, ContextExtensions: demands,
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/", Headers: headers}}}}
}

func extAuthzDoor(c authv3.AuthorizationClient) door {
	return func(token string) seen {
		resp, err := c.Check(context.Background(), checkRequest(map[string]string{"authorization": "Bearer " + token}, nil))
		Expect(err).NotTo(HaveOccurred(), "a denial must not be a gRPC error")
		ok := resp.GetOkResponse()
		if ok == nil {
			return denialOf(resp.GetDeniedResponse().GetBody())
		}
		values := map[string]string{}
		for _, h := range ok.GetHeaders() {
			Expect(h.GetAppendAction()).To(Equal(corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
			values[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
		}
		return seen{user: values["x-auth-user"], role: values["x-auth-role"]}
	}
}

// introspectionDoor asks as the holder of another key. It is told active or not, and no code.
func introspectionDoor(caller string) door {
	return func(token string) seen {
		status, out := post("/oauth2/introspect", "application/x-www-form-urlencoded", url.Values{"token": {token}, "client_ip": {"127.0.0.1"}}.Encode(), caller)
		Expect(status).To(Equal(200), out)
		var a struct {
			Active         bool
			Username, Role string
		}
		Expect(json.Unmarshal([]byte(out), &a)).To(Succeed())
		if !a.Active {
			Expect(out).To(Equal(`{"active":false}`))
		}
		return seen{user: a.Username, role: a.Role}
	}
}

// record writes the status of an ApiKey as the controller would.
func record(ctx SpecContext, name string, phase v1alpha1.CredentialPhase, token string, until *metav1.Time) {
	cfg := rest.CopyConfig(k8s.Config)
	cfg.Impersonate.UserName = "system:serviceaccount:apikey-system:apikey-operator-controller"
	c, err := client.New(cfg, client.Options{Scheme: scheme()})
	Expect(err).NotTo(HaveOccurred())
	Eventually(func() error {
		var o v1alpha1.ApiKey
		if err := c.Get(ctx, client.ObjectKey{Namespace: "acme-dev", Name: name}, &o); err != nil {
			return err
		}
		d := apikey.DigestOf(token)
		o.Status.Credentials = []v1alpha1.Credential{{ID: d.ID(), SHA256: d.String(), Phase: phase, IssuedAt: metav1.Now(), ValidUntil: until}}
		return c.Status().Update(ctx, &o)
	}).Should(Succeed())
}

// apply applies an ApiKey in acme-dev.
func applyKey(ctx SpecContext, name, spec string) {
	file := filepath.Join(GinkgoT().TempDir(), "key.yaml")
	Expect(os.WriteFile(file, []byte("{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: "+name+", namespace: acme-dev}, spec: "+spec+"}"), 0o600)).To(Succeed())
	kubectl(ctx, "apply", "-f", file)
}

var _ = Describe("every door", Ordered, func() {
	var doors map[string]door
	BeforeAll(func(ctx SpecContext) {
		applyKey(ctx, "introspector", `{role: viewer, scopes: ["tokens:introspect"]}`)
		kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "-n", "acme-dev", "apikey/introspector")
		caller := token(ctx, "acme-dev", "introspector", "token")
		Eventually(func() int { return status(caller) }).Should(Equal(200))
		doors = map[string]door{"rest": restDoor, "forward-auth": forwardAuthDoor, "ext_authz": extAuthzDoor(envoy()), "TokenReview v1": reviewDoor("v1"),
			"TokenReview v1beta1": reviewDoor("v1beta1"), "introspection": introspectionDoor(caller)}
	})
	// everywhere expects one verdict at every door.
	everywhere := func(token string, want seen) {
		GinkgoHelper()
		Eventually(func() seen { return restDoor(token) }).Should(Equal(want))
		for name, d := range doors {
			expected := want
			if name == "introspection" {
				expected.code = "" // of a bad token it says nothing
			}
			Expect(d(token)).To(Equal(expected), name)
		}
	}

	It("gives one verdict on a key in any state", func(ctx SpecContext) {
		owned := `owner: {id: "7", username: max@acme.example}, role: member`
		me := seen{user: "max@acme.example", role: "member"}
		fresh := func(name, spec string) string {
			applyKey(ctx, name, "{"+owned+spec+"}")
			kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "-n", "acme-dev", "apikey/"+name)
			return token(ctx, "acme-dev", name, "token")
		}
		bad, late := seen{code: "invalid_token"}, seen{code: "token_expired"}

		By("live and retiring")
		t := fresh("parity-live", "")
		everywhere(t, me)
		kubectl(ctx, "annotate", "apikey", "-n", "acme-dev", "parity-live", "auth.kaana.com/rotate-requested-at=now")
		Eventually(func() string { return token(ctx, "acme-dev", "parity-live", "token") }).ShouldNot(Equal(t))
		everywhere(t, me)
		everywhere(token(ctx, "acme-dev", "parity-live", "token"), me)

		By("wrong network, and the right one")
		everywhere(fresh("parity-elsewhere", ", allowedCIDRs: [10.0.0.0/8]"), bad)
		t = fresh("parity-here", ", allowedCIDRs: [127.0.0.0/8]")
		for name, d := range doors {
			if strings.HasPrefix(name, "TokenReview") {
				Expect(d(t)).To(Equal(bad), "kube-apiserver does not tell where a request is from")
			} else {
				Expect(d(t)).To(Equal(me), name)
			}
		}

		By("suspended, revoked, expired, deleted")
		t = fresh("parity-suspended", "")
		kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "parity-suspended", "--type=merge", "-p", `{"spec":{"state":"Suspended"}}`)
		everywhere(t, bad)
		t = fresh("parity-revoked", "")
		kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "parity-revoked", "--type=merge", "-p", `{"spec":{"state":"Revoked"}}`)
		everywhere(t, bad)
		t = fresh("parity-expired", "")
		kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "parity-expired", "--type=merge", "-p", `{"spec":{"expiresAt":"2020-01-01T00:00:00Z"}}`)
		everywhere(t, late)
		t = fresh("parity-deleted", "")
		kubectl(ctx, "delete", "apikey", "-n", "acme-dev", "parity-deleted")
		everywhere(t, bad)

		By("pending and retired, as a controller leaves them that dies in between")
		release := op.Controller.Pause()
		defer release()
		applyKey(ctx, "parity-recorded", "{"+owned+"}")
		record(ctx, "parity-recorded", v1alpha1.CredentialPending, "pending-token", nil)
		everywhere("pending-token", me)
		past := metav1.NewTime(time.Now().Add(-time.Minute))
		record(ctx, "parity-recorded", v1alpha1.CredentialRetiring, "pending-token", &past)
		everywhere("pending-token", bad)
		record(ctx, "parity-recorded", v1alpha1.CredentialRetired, "pending-token", &past)
		everywhere("pending-token", bad)

		By("imported keys of foreign shapes")
		for i, foreign := range []string{"sk_live_4eC39HqLyjWDarjtT1zdp7dc", "a.b.c", "AKIA/with+signs==", "{\"json\":1}"} {
			applyKey(ctx, fmt.Sprint("parity-imported-", i), "{"+owned+", digests: [{sha256: "+apikey.DigestOf(foreign).String()+"}]}")
			everywhere(foreign, me)
		}
		By("typos and junk")
		for _, junk := range []string{"kaana_", t[:len(t)-1] + "~", "x", strings.Repeat("x", 9<<10), "a,b"} {
			everywhere(junk, bad)
		}
	})

	It("gives one verdict on a JWT, and refuses any fault", func(ctx SpecContext) {
		for _, a := range issuer.Accounts {
			t, err := issuer.SignIn(ctx, op.Issuer.URL, op.CAFile, a.Name)
			Expect(err).NotTo(HaveOccurred())
			for name, d := range doors {
				want := seen{user: a.Email, role: a.Role}
				if name == "introspection" && a.Tenant != "acme" {
					want = seen{} // another tenant's is nobody's business
				}
				Expect(d(t.AccessToken)).To(Equal(want), name)
			}
		}
		for fault, t := range op.Issuer.Faulty() {
			if strings.ContainsAny(t, "\n") {
				continue // cannot be put into a header; the verifier's own test has them
			}
			for name, d := range doors {
				if len(t) > 16<<10 && (name == "rest" || name == "forward-auth") {
					continue // 431 before anybody looks at it
				}
				if len(t) > 60<<10 {
					continue // 413 and its like
				}
				got := d(t)
				Expect(got.allowed()).To(BeFalse(), fault+" at "+name)
				if name != "introspection" {
					Expect(got.code).To(Equal("invalid_token"), fault+" at "+name)
				}
			}
		}
	})

	It("keeps its verdicts through a rollover of the issuer's keys", func(ctx SpecContext) {
		before, err := issuer.SignIn(ctx, op.Issuer.URL, op.CAFile, "member")
		Expect(err).NotTo(HaveOccurred())
		kid := func() float64 { return metric("apikey_jwks_age_seconds") }
		Expect(kid()).To(BeNumerically(">=", 0))
		Eventually(func() seen { return restDoor(before.AccessToken) }).Should(Equal(seen{user: "max@acme.example", role: "member"}))
		Expect(op.Issuer.Roll()).To(Succeed())
		after, err := issuer.SignIn(ctx, op.Issuer.URL, op.CAFile, "member")
		Expect(err).NotTo(HaveOccurred())
		By("strangers' key ids may have used up the fetches of the last ten seconds: it is never called invalid")
		Eventually(func() seen {
			got := restDoor(after.AccessToken)
			Expect(got.code).To(BeElementOf("", "unavailable"))
			return got
		}).Should(Equal(seen{user: "max@acme.example", role: "member"}))
		for _, t := range []string{after.AccessToken, before.AccessToken} {
			for name, d := range doors {
				Expect(d(t)).To(Equal(seen{user: "max@acme.example", role: "member"}), name)
			}
		}
	})

	It("answers Envoy before its deadline while a token may be new, and denies it afterwards", func(ctx SpecContext) {
		format, err := apikey.NewFormat(apikey.DefaultPrefix)
		Expect(err).NotTo(HaveOccurred())
		wrong, err := format.Mint(rand.Reader)
		Expect(err).NotTo(HaveOccurred())
		c := envoy()
		check := func() (int32, []string) {
			deadline, cancel := context.WithTimeout(ctx, 200*time.Millisecond) // Envoy's default
			defer cancel()
			headers := map[string]string{"authorization": "Bearer " + wrong.Reveal()}
			resp, err := c.Check(deadline, checkRequest(headers, nil))
			Expect(err).NotTo(HaveOccurred(), "it came too late")
			var retry []string
			for _, h := range resp.GetDeniedResponse().GetHeaders() {
				if h.GetHeader().GetKey() == "retry-after" {
					retry = append(retry, h.GetHeader().GetValue())
				}
			}
			return int32(resp.GetDeniedResponse().GetStatus().GetCode()), retry
		}
		Expect(restDoor("kaana_typo").code).To(Equal("invalid_token"), "and the connection is open")
		status, retry := check()
		Expect(status).To(BeEquivalentTo(503))
		Expect(retry).To(Equal([]string{"1"}))
		Eventually(func() int32 { status, _ := check(); return status }).Should(BeEquivalentTo(401))
	})

	It("lets Envoy pass on who it is, and nothing that a client made up", func(ctx SpecContext) {
		t := newKey(ctx, "enveloped")
		c := envoy()
		check := func(headers, demands map[string]string) *authv3.CheckResponse {
			resp, err := c.Check(ctx, checkRequest(headers, demands))
			Expect(err).NotTo(HaveOccurred())
			return resp
		}
		bearer := map[string]string{"authorization": "Bearer " + t}
		Eventually(func() any { return check(bearer, nil).GetOkResponse() }).ShouldNot(BeNil())
		ok := check(bearer, nil).GetOkResponse()
		Expect(ok.GetHeadersToRemove()).To(ContainElements("authorization", "x_auth_user", "x-auth_user", "x_auth-user", "x-auth_role"))
		Expect(ok.GetHeadersToRemove()).NotTo(ContainElement("x-auth-user"))
		for demands, want := range map[string]int32{"role=viewer": 0, "role=member": 0, "role=admin": 403, "scope=a b": 0, "role=root": 403, "scop=a": 403, "role=": 403, "scope=": 403, "scop=": 403} {
			name, value, _ := strings.Cut(demands, "=")
			resp := check(bearer, map[string]string{name: value})
			Expect(int32(resp.GetDeniedResponse().GetStatus().GetCode())).To(Equal(want), demands)
		}
		denied := check(nil, nil).GetDeniedResponse()
		Expect(denied.GetBody()).To(Equal(fmt.Sprintf(unauthorized, "missing_token")))
		Expect(denied.GetHeaders()).To(ContainElement(HaveField("Header.Key", "www-authenticate")))
		for name, r := range map[string]*authv3.CheckRequest{
			"two joined": checkRequest(map[string]string{"authorization": "Bearer " + t + ",Bearer " + t}, nil),
			"nothing":    {}, "a cookie too": checkRequest(map[string]string{"authorization": "Bearer " + t, "cookie": "access_token=x"}, nil),
		} {
			resp, err := c.Check(ctx, r)
			Expect(err).NotTo(HaveOccurred())
			Expect(resp.GetDeniedResponse().GetStatus().GetCode()).To(BeEquivalentTo(401), name)
		}
		raw := checkRequest(nil, nil)
		for range 2 {
			h := &corev3.HeaderValue{Key: "Authorization", RawValue: []byte("Bearer " + t)}
			raw.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: append(raw.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders(), h)}
			resp, err := c.Check(ctx, raw)
			Expect(err).NotTo(HaveOccurred())
			Expect(resp.GetOkResponse() != nil).To(Equal(len(raw.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders()) == 1))
		}
	})

	It("is a user of the cluster, with the permissions of its groups", func(ctx SpecContext) {
		t := newKey(ctx, "kubectl-user")
		kubectl(ctx, "create", "rolebinding", "-n", "acme-dev", "tenant-acme", "--clusterrole=view", "--group=apikey:tenant:acme")
		as := func(token string, args ...string) (string, error) {
			file := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
			config := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: %q, insecure-skip-tls-verify: true}}]\ncontexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {token: %q}}]\n", "https://"+strings.TrimPrefix(k8s.Config.Host, "https://"), token)
			Expect(os.WriteFile(file, []byte(config), 0o600)).To(Succeed())
			return k8s.Kubectl(ctx, append([]string{"--kubeconfig", file}, args...)...)
		}
		var who string
		Eventually(func() (err error) { who, err = as(t, "auth", "whoami", "-o", "json"); return err }).Should(Succeed())
		Expect(who).To(And(ContainSubstring(`"username": "apikey:acme-dev:kubectl-user"`), ContainSubstring(`"apikey:role:member"`), ContainSubstring(`"apikey:tenant:acme"`)))
		Eventually(func() error { _, err := as(t, "get", "pods", "-n", "acme-dev"); return err }).Should(Succeed())
		_, err := as(t, "get", "pods", "-n", "globex-prod")
		Expect(err).To(MatchError(ContainSubstring("forbidden")))
		_, err = as(t, "get", "secrets", "-n", "acme-dev")
		Expect(err).To(MatchError(ContainSubstring("forbidden")))
		jwt, err := issuer.SignIn(ctx, op.Issuer.URL, op.CAFile, "admin")
		Expect(err).NotTo(HaveOccurred())
		who, err = as(jwt.AccessToken, "auth", "whoami", "-o", "json")
		Expect(err).NotTo(HaveOccurred())
		Expect(who).To(ContainSubstring(`"username": "kaana:ada@acme.example"`))
		_, err = as("stranger", "get", "pods", "-n", "acme-dev")
		Expect(err).To(MatchError(ContainSubstring("must be logged in")))

		By("a revocation reaches kube-apiserver within its cache of ten seconds")
		kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "kubectl-user", "--type=merge", "-p", `{"spec":{"state":"Revoked"}}`)
		begin := time.Now()
		Eventually(func() int { return status(t) }, "1s").Should(Equal(401))
		Eventually(func() error { _, err := as(t, "get", "pods", "-n", "acme-dev"); return err }, "15s", "250ms").Should(HaveOccurred())
		GinkgoWriter.Printf("kube-apiserver refused a revoked key after %v\n", time.Since(begin).Round(100*time.Millisecond))
	})

	It("says in metrics what it decided, without a key's name", func(ctx SpecContext) {
		text := metricsOf(op.ServerMetrics)
		Expect(text).To(And(
			MatchRegexp(`apikey_verifications_total\{door="rest",method="apikey",outcome="allowed",reason=""\} [1-9]`),
			MatchRegexp(`apikey_verifications_total\{door="forward_auth",method="none",outcome="denied",reason="unknown"\} [1-9]|apikey_verifications_total\{door="rest"`),
			MatchRegexp(`apikey_verification_duration_seconds_count\{door="rest"\} [1-9]`), MatchRegexp(`apikey_index_size\{resource="keys"\} [1-9]`),
			MatchRegexp(`apikey_jwks_age_seconds\{issuer="https://localhost`), ContainSubstring("apikey_index_ready 1")))
		Expect(text).NotTo(ContainSubstring("acme"))
	})

	It("goes on for a minute while the API server hangs, says how stale it is, and stops when it is told to", func(ctx SpecContext) {
		t := newKey(ctx, "steadfast")
		Eventually(func() int { return status(t) }).Should(Equal(200))
		release, err := k8s.Pause("kube-apiserver")
		Expect(err).NotTo(HaveOccurred())
		defer release()
		refused := 0
		for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(5 * time.Millisecond) {
			if status(t) != 200 {
				refused++
			}
		}
		Expect(refused).To(BeZero())
		Expect(metric("apikey_index_staleness_seconds")).To(BeNumerically(">", 45))
		release()
		Eventually(func() float64 { return metric("apikey_index_staleness_seconds") }, "60s").Should(BeNumerically("<", 5))

		By("with maxStaleness it answers 503 after that time, and never no")
		Expect(k8s.RestartServer(ctx, op, "maxStaleness: 6s\n")).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(k8s.RestartServer(ctx, op, "")).To(Succeed()) })
		Eventually(func() int { return status(t) }).Should(Equal(200))
		again, err := k8s.Pause("kube-apiserver")
		Expect(err).NotTo(HaveOccurred())
		defer again()
		Eventually(func() int {
			code := status(t)
			Expect(code).To(Or(Equal(200), Equal(503)))
			return code
		}, "20s").Should(Equal(503))
		Expect(get("/readyz").Status).To(Equal(503))
		again()
		Eventually(func() int { return status(t) }, "60s").Should(Equal(200))

		By("etcd hangs: the API server answers and its watches stay open, but no revocation arrives")
		thaw, err := k8s.Pause("etcd")
		Expect(err).NotTo(HaveOccurred())
		defer thaw()
		Expect(k8s.Kubectl(ctx, "get", "--raw", "/version")).To(ContainSubstring("gitVersion"))
		Eventually(func() int { return status(t) }, "20s").Should(Equal(503))
		Expect(k8s.Kubectl(ctx, "get", "--raw", "/version")).To(ContainSubstring("gitVersion"))
		thaw()
		Eventually(func() int { return status(t) }, "60s").Should(Equal(200))
	})
})

func metricsOf(address string) string {
	resp, err := op.Client.Get("https://" + address + "/metrics")
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return string(out)
}

// metric returns the first value of a metric of the server.
func metric(name string) float64 {
	for line := range strings.Lines(metricsOf(op.ServerMetrics)) {
		if strings.HasPrefix(line, name) {
			var v float64
			_, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v)
			ExpectWithOffset(1, err).NotTo(HaveOccurred())
			return v
		}
	}
	Fail("no metric " + name)
	return 0
}
