// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/test/cluster"
)

const (
	unauthorized = `{"error":"Unauthorized","message":"Invalid or missing authentication token","code":%q}`
	challenge    = `Bearer realm="kaana"`
	invalid      = challenge + `, error="invalid_token", error_description="Invalid or missing authentication token"`
)

var _ = It("answers GET /api/user with the account of the key, to the letter", func(ctx SpecContext) {
	t := token(ctx, "acme-prod", "quickstart", "token")
	Expect(get("/api/user", "Bearer "+t)).To(Equal(answer{Status: 200, Body: `{"id":123,"username":"you@example.com","role":"admin"}`}))
	own := get("/api/user", "Bearer "+token(ctx, "globex-prod", "reporting", "token"))
	uid := kubectl(ctx, "get", "apikey", "-n", "globex-prod", "reporting", "-o", "jsonpath={.metadata.uid}")
	Expect(own).To(Equal(answer{Status: 200, Body: `{"id":"` + uid + `","username":"apikey:globex-prod:reporting","role":"viewer"}`}))
})

var _ = It("answers GET /api/projects with the projects of the key's tenant and no other", func(ctx SpecContext) {
	Expect(get("/api/projects", "Bearer "+token(ctx, "acme-prod", "quickstart", "token")).Body).To(Equal(
		`{"items":[{"name":"acme-dev","tenant":"acme"},{"name":"acme-prod","tenant":"acme"}]}`))
	Expect(get("/api/projects", "Bearer "+token(ctx, "globex-prod", "reporting", "token")).Body).To(Equal(
		`{"items":[{"name":"globex-prod","tenant":"globex"}]}`))
	By("and refuses a key whose scopes do not cover it")
	Expect(get("/api/projects", "Bearer "+token(ctx, "acme-prod", "billing-credentials", "api-key"))).To(Equal(answer{403,
		`{"error":"Forbidden","message":"You don't have permission to access this resource","code":"insufficient_scope"}`,
		challenge + `, error="insufficient_scope"`}))
})

var _ = It("refuses what is not exactly one good token, with the documented body", func(ctx SpecContext) {
	good := newKey(ctx, "refused")
	typo := good[:len(good)-1] + map[bool]string{true: "a", false: "b"}[good[len(good)-1] != 'a']
	for name, authorization := range map[string][]string{
		"a typo": {"Bearer " + typo}, "an extra character": {"Bearer " + good + "x"}, "a space inside": {"Bearer " + good[:20] + " " + good[20:]},
		"a missing character": {"Bearer " + good[:len(good)-1]}, "the header twice": {"Bearer " + good, "Bearer " + good},
		"two tokens in one header": {"Bearer " + good + ", Bearer " + good}, "a stranger's": {"Bearer stranger"},
	} {
		Expect(get("/api/user", authorization...)).To(Equal(answer{401, fmt.Sprintf(unauthorized, "invalid_token"), invalid}), name)
	}
	for name, authorization := range map[string][]string{"no header": nil, "another scheme": {"Basic " + good}, "no token": {"Bearer "}} {
		Expect(get("/api/user", authorization...)).To(Equal(answer{401, fmt.Sprintf(unauthorized, "missing_token"), challenge}), name)
	}
	Expect(get("/api/user?access_token=" + good).Status).To(Equal(401))
	Expect(get("/api/user", "Bearer "+strings.Repeat("a", 9<<10)).Status).To(Equal(401))
	Expect(oversized(64 << 10)).To(HavePrefix("HTTP/1.1 431 "))
	Expect(get("/api/user", "Bearer "+good).Status).To(Equal(200))

	kubectl(ctx, "delete", "apikey", "-n", "acme-dev", "refused")
	Eventually(func() answer { return get("/api/user", "Bearer "+good) }, "1s").Should(Equal(answer{401, fmt.Sprintf(unauthorized, "invalid_token"), invalid}))
})

// oversized returns the first line of the answer to a request with a header of that many bytes. A
// client library would not send it.
func oversized(size int) string {
	conn, err := tls.Dial("tcp", strings.TrimPrefix(op.URL, "https://"), &tls.Config{InsecureSkipVerify: true})
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "GET /api/user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", strings.Repeat("a", size))
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

var _ = It("knows no other paths and methods", func(ctx SpecContext) {
	Expect(get("/nothing").Status).To(Equal(404))
	Expect(get("/").Body).To(ContainSubstring("Sign in")) // by way of the page
	Expect(get("/api/nothing").Body).To(HavePrefix(`{"error":"Not Found","message":`))
	resp, err := op.Client.Post(op.URL+"/api/user", "application/json", strings.NewReader("{}"))
	Expect(err).NotTo(HaveOccurred())
	Expect(resp.Body.Close()).To(Succeed())
	Expect(resp.StatusCode).To(Equal(405))
	Expect(resp.Header.Get("Allow")).To(Equal("GET, HEAD"))
})

var _ = It("speaks TLS 1.2 or later only", func(ctx SpecContext) {
	plain, err := http.Get(strings.Replace(op.URL, "https:", "http:", 1) + "/api/user")
	Expect(err).NotTo(HaveOccurred())
	body, _ := io.ReadAll(plain.Body)
	Expect(plain.Body.Close()).To(Succeed())
	Expect(plain.StatusCode).To(Equal(400))
	Expect(string(body)).To(ContainSubstring("HTTP request to an HTTPS server"))

	address := strings.TrimPrefix(op.URL, "https://")
	_, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	Expect(err).To(MatchError(ContainSubstring("protocol version")))
})

var _ = It("takes up a new certificate without a restart", func(ctx SpecContext) {
	pid := op.Server.PID()
	issuer := func() string {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(op.URL, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err.Error()
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := issuer()
	_, err := cluster.NewCertificate(state)
	Expect(err).NotTo(HaveOccurred())
	Eventually(issuer).ShouldNot(Equal(before))
	Expect(op.TrustAgain()).To(Succeed())
	Expect(get("/healthz").Status).To(Equal(200))
	Expect(op.Server.PID()).To(Equal(pid))
})

var _ = It("revokes within a second, for good", func(ctx SpecContext) {
	t := newKey(ctx, "revoked")
	Expect(status(t)).To(Equal(200))
	kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "revoked", "--type=merge", "-p", `{"spec":{"state":"Revoked"}}`)
	Eventually(func() int { return status(t) }, "1s").Should(Equal(401))
	Eventually(func() string { return kubectl(ctx, "get", "secret", "-n", "acme-dev", "revoked", "--ignore-not-found") }).Should(BeEmpty())
	_, err := k8s.Kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "revoked", "--type=merge", "-p", `{"spec":{"state":"Active"}}`)
	Expect(err).To(MatchError(ContainSubstring("a revoked key stays revoked")))
})

var _ = It("revokes while the controller is unavailable", func(ctx SpecContext) {
	t := newKey(ctx, "alone")
	release := op.Controller.Pause()
	defer release()
	kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "alone", "--type=merge", "-p", `{"spec":{"state":"Revoked"}}`)
	Eventually(func() int { return status(t) }, "1s").Should(Equal(401))
})

var _ = It("loses nothing when either process is killed at any time", func(ctx SpecContext) {
	steady := newKey(ctx, "steady")
	for i := range 5 {
		name := fmt.Sprintf("crash-%d", i)
		file := filepath.Join(GinkgoT().TempDir(), "key.yaml")
		Expect(os.WriteFile(file, []byte("{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: "+name+", namespace: acme-dev}}"), 0o600)).To(Succeed())
		kubectl(ctx, "apply", "-f", file)
		op.Controller.Kill()
		op.Server.Kill()
		kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "-n", "acme-dev", "apikey/"+name)
		Eventually(func() int { return get("/readyz").Status }).Should(Equal(200))
		Expect(status(steady)).To(Equal(200))
		Eventually(func() int { return status(token(ctx, "acme-dev", name, "token")) }).Should(Equal(200))
	}
	Expect(token(ctx, "acme-dev", "steady", "token")).To(Equal(steady))
})

var _ = It("calls a controller ready only when it could take over and its webhook serves", func(ctx SpecContext) {
	probe := func(address, path string) func() string {
		return func() string {
			resp, err := http.Get("http://" + address + path)
			if err != nil {
				return err.Error()
			}
			defer func() { _ = resp.Body.Close() }()
			body, _ := io.ReadAll(resp.Body)
			return strings.TrimSpace(string(body))
		}
	}
	Eventually(probe(op.ControllerProbes, "/readyz")).Should(Equal("ok"))
	lease := fmt.Sprintf("{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: apikey-operator.kaana.com, namespace: apikey-system}, "+
		"spec: {holderIdentity: another, leaseDurationSeconds: 3600, renewTime: %q}}", time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
	file := filepath.Join(GinkgoT().TempDir(), "lease.yaml")
	Expect(os.WriteFile(file, []byte(lease), 0o600)).To(Succeed())
	kubectl(ctx, "apply", "-f", file)
	DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "-f", file) })
	for name, c := range map[string]struct{ account, admission, want string }{
		"standby":        {"apikey-operator-controller", "{listen: " + freeAddress() + ", namespace: apikey-system, host: localhost}", "ok"},
		"no-certificate": {"apikey-operator-controller", "{listen: " + freeAddress() + ", namespace: nowhere}", "[-]webhook failed"},
		"no-cache":       {"apikey-operator-server", `{listen: "0"}`, "[-]cache failed"},
	} {
		address, stop, err := k8s.StartController(ctx, binary, name, cluster.Controller{
			Account: c.account, Config: "leaderElection: {namespace: apikey-system}\nadmission: " + c.admission})
		Expect(err).NotTo(HaveOccurred())
		stop = sync.OnceFunc(stop)
		DeferCleanup(stop)
		Eventually(probe(address, "/readyz")).Should(ContainSubstring(c.want), name)
		Eventually(probe(address, "/healthz")).Should(Equal("ok"), name)
		if c.want != "ok" {
			Consistently(probe(address, "/readyz"), "3s").Should(ContainSubstring(c.want), name)
		}
		stop()
	}
})

var _ = It("ends nothing while its clock and the API server's differ", func(ctx SpecContext) {
	var behind atomic.Int64 // by how much the API server's clock seems to be behind
	api, err := url.Parse(k8s.Config.Host)
	Expect(err).NotTo(HaveOccurred())
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(k8s.Config.CAData)
	proxy := httputil.NewSingleHostReverseProxy(api)
	proxy.FlushInterval = -1
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(-time.Duration(behind.Load())).UTC().Format(http.TimeFormat))
		return nil
	}
	server := httptest.NewUnstartedServer(proxy)
	server.EnableHTTP2 = true
	server.StartTLS()
	DeferCleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	t := newKey(ctx, "skewed")
	release := op.Controller.Pause()
	DeferCleanup(release)
	behind.Store(int64(48 * time.Hour))
	_, stop, err := k8s.StartController(ctx, binary, "skewed", cluster.Controller{
		Account: "apikey-operator-controller", Config: "leaderElection: {enabled: false}\nadmission: {listen: \"0\"}", Server: server.URL, CA: ca})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		stop()
		log, _ := os.ReadFile(filepath.Join(state, "log", "skewed.log"))
		GinkgoWriter.Println(string(log))
	})
	expire := func(in time.Duration) {
		patch := fmt.Sprintf(`{"spec":{"expiresAt":%q}}`, time.Now().Add(in).UTC().Format(time.RFC3339))
		kubectl(ctx, "patch", "apikey", "-n", "acme-dev", "skewed", "--type=merge", "-p", patch)
	}
	rotated := func() string {
		return kubectl(ctx, "get", "apikey", "-n", "acme-dev", "skewed", "-o", "jsonpath={.status.lastHandledRotateRequest}")
	}

	By("what people ask for is done all the same")
	kubectl(ctx, "annotate", "apikey", "-n", "acme-dev", "skewed", v1alpha1.RotateAnnotation+"=once")
	Eventually(rotated).Should(Equal("once"))
	renewed := token(ctx, "acme-dev", "skewed", "token")
	Expect(renewed).NotTo(Equal(t))

	By("a key that has expired is refused, and can still be brought back")
	expire(2 * time.Second)
	Eventually(func() int { return status(renewed) }).Should(Equal(401))
	Consistently(func() string { return token(ctx, "acme-dev", "skewed", "token") }, "3s", "200ms").Should(Equal(renewed))
	expire(time.Hour)
	Eventually(func() int { return status(renewed) }).Should(Equal(200))
	Expect(status(t)).To(Equal(200), "the overlap was cut short")

	By("the key ends as soon as they agree")
	behind.Store(0)
	expire(time.Second)
	Eventually(func() string { return kubectl(ctx, "get", "secret", "-n", "acme-dev", "skewed", "--ignore-not-found") }).Should(BeEmpty())
})

var _ = It("says nothing but 200 or 503 about a good token while the server starts", func(ctx SpecContext) {
	t := newKey(ctx, "starting")
	op.Server.Kill()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		switch status(t) {
		case 200:
			return
		case 0, 503: // not listening, or not sure yet
		default:
			Fail("a good token was refused while the server started")
		}
	}
	Fail("the server did not come back")
})

var _ = It("gives the server no verb on Secrets, and the controller no more than it needs", func(ctx SpecContext) {
	can := func(account, verb, resource string, more ...string) string {
		out, _ := k8s.Kubectl(ctx, append([]string{"auth", "can-i", verb, resource, "-A", "--as=system:serviceaccount:apikey-system:apikey-operator-" + account}, more...)...)
		return strings.TrimSpace(out)
	}
	for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} {
		Expect(can("server", verb, "secrets")).To(Equal("no"), verb)
		Expect(can("server", verb, "pods")).To(Equal("no"), verb)
		Expect(can("controller", verb, "clusterroles")).To(Equal("no"), verb)
		for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
			may := can("controller", verb, kind+"/apikey-operator")
			Expect(strings.HasSuffix(may, "yes")).To(Equal(verb == "get"), verb+" "+kind)
		}
	}
	for _, verb := range []string{"create", "update", "patch", "delete"} {
		Expect(can("server", verb, "apikeys")).To(Equal("yes"), verb) // for those who manage keys by REST
		Expect(can("controller", verb, "apikeys")).To(Equal("no"), verb)
	}
	Expect(can("server", "update", "apikeys", "--subresource=status")).To(Equal("no"))
	Expect(can("server", "deletecollection", "apikeys")).To(Equal("no"))
	Expect(can("controller", "update", "apikeys", "--subresource=status")).To(Equal("yes"))
})

// started runs the binary until it ends by itself, and returns what it said.
func started(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	return string(out), err
}

var _ = DescribeTable("says in one line what is wrong and ends", func(ctx SpecContext, process, config, kubeconfig, says string) {
	dir := GinkgoT().TempDir()
	cert, err := cluster.NewCertificate(dir)
	Expect(err).NotTo(HaveOccurred())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = taken.Close() }()
	config = strings.NewReplacer("CERT", cert.CertFile, "KEY", cert.KeyFile, "TAKEN", taken.Addr().String()).Replace(config)
	file := filepath.Join(dir, "config.yaml")
	Expect(os.WriteFile(file, []byte(config), 0o600)).To(Succeed())
	if kubeconfig == "" {
		kubeconfig = k8s.Kubeconfig
	} else {
		text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: %q}}]\ncontexts: [{name: x, context: {cluster: x}}]\n", kubeconfig)
		kubeconfig = filepath.Join(dir, "kubeconfig")
		Expect(os.WriteFile(kubeconfig, []byte(text), 0o600)).To(Succeed())
	}
	out, err := started(process, "--config", file, "--kubeconfig", kubeconfig)
	Expect(err).To(BeAssignableToTypeOf(&exec.ExitError{}))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	Expect(lines[len(lines)-1]).To(And(HavePrefix("apikey-operator: "), ContainSubstring(says)))
	for _, line := range lines[:len(lines)-1] {
		Expect(line).To(HavePrefix(`{"time":`), "something besides the log and one line")
	}
},
	Entry("an unknown key", "server", "tsl: {}", "", `unknown field "tsl"`),
	Entry("an unknown key of the controller", "controller", "worker: 3", "", `unknown field "worker"`),
	Entry("a key given twice", "server", "listen: a\nlisten: b", "", `"listen" already set`),
	Entry("a value of another type", "controller", "workers: many", "", "workers"),
	Entry("a value out of bounds", "controller", "workers: 0", "", "workers: 0 is not between 1 and 100"),
	Entry("an address without a port", "server", "listen: localhost\ntls: {certFile: CERT, keyFile: KEY}", "", "listen: want host:port"),
	Entry("a bad prefix", "server", "tokenPrefix: Kaana\ntls: {certFile: CERT, keyFile: KEY}", "", `token prefix "Kaana": want`),
	Entry("no certificate", "server", "listen: 127.0.0.1:0", "", "tls: certFile and keyFile are required"),
	Entry("an unreadable certificate", "server", "listen: 127.0.0.1:0\ntls: {certFile: /nowhere/tls.crt, keyFile: KEY}", "", "load certificate /nowhere/tls.crt"),
	Entry("a key in the certificate's place", "server", "listen: 127.0.0.1:0\ntls: {certFile: KEY, keyFile: KEY}", "", "load certificate"),
	Entry("a port in use", "server", "listen: TAKEN\ntls: {certFile: CERT, keyFile: KEY}", "", "address already in use"),
	Entry("an admission webhook without a home", "controller", "probes: 127.0.0.1:0\nleaderElection: {enabled: false}", "", "admission.namespace: required outside a cluster"),
	Entry("half a certificate for admission", "controller", "admission: {tls: {certFile: CERT}}", "", "admission.tls: give both certFile and keyFile"),
	Entry("an unreadable certificate for admission", "controller", "admission: {tls: {certFile: /nowhere/tls.crt, keyFile: KEY}}\nleaderElection: {enabled: false}", "", "load certificate /nowhere/tls.crt"),
	Entry("a port in use for admission", "controller", "probes: 127.0.0.1:0\nadmission: {listen: TAKEN, namespace: apikey-system}\nleaderElection: {enabled: false}", "", "address already in use"),
	Entry("a port in use for probes", "controller", "probes: TAKEN\nadmission: {listen: \"0\"}\nleaderElection: {enabled: false}", "", "address already in use"),
	Entry("a port in use for metrics", "controller", "metrics: TAKEN\nprobes: 127.0.0.1:0\nadmission: {listen: \"0\"}\nleaderElection: {enabled: false}", "", "address already in use"),
	Entry("an issuer without https", "server", "tls: {certFile: CERT, keyFile: KEY}\njwt:\n- issuer:\n    url: http://a.example/\n    audiences: [x]", "", `line 4: jwt[0].issuer.url: "http://a.example/": want an https URL`),
	Entry("an issuer without audiences", "server", "tls: {certFile: CERT, keyFile: KEY}\njwt:\n- issuer: {url: \"https://a.example/\"}", "", `line 3: jwt[0].issuer.audiences: name at least one audience`),
	Entry("an expression that does not compile", "server", "tls: {certFile: CERT, keyFile: KEY}\njwt:\n- issuer: {url: \"https://a.example/\", audiences: [x]}\n  claimMappings:\n    role:\n      expression: claims.", "", `line 6: jwt[0].claimMappings.role.expression: ERROR`),
	Entry("a typo in an issuer", "server", "tls: {certFile: CERT, keyFile: KEY}\njwt:\n- issuer:\n    audience: [x]", "", `line 4: unknown field "jwt[0].issuer.audience"`),
	Entry("another letter case", "server", "tls: {certFile: CERT, keyFile: KEY}\npages:\n  clientId: x", "", `line 3: unknown field "pages.clientId"`),
	Entry("a proxy that is no network", "server", "tls: {certFile: CERT, keyFile: KEY}\ntrustedProxies: [10.0.0.1]", "", "trustedProxies[0]: want a network like 10.0.0.0/8"),
	Entry("a username prefix of Kubernetes' own", "server", "tls: {certFile: CERT, keyFile: KEY}\ntokenReview: {usernamePrefix: \"system:\"}", "", "tokenReview.usernamePrefix: must not lead to names of system:"),
	Entry("a client CA that is none", "server", "tls: {certFile: CERT, keyFile: KEY}\ntokenReview: {clientCAFile: KEY}", "", "tokenReview.clientCAFile"),
	Entry("an API server that is not there", "server", "listen: 127.0.0.1:0\nmetrics: \"0\"\nextAuthz: \"0\"\ntls: {certFile: CERT, keyFile: KEY}", "https://127.0.0.1:1", "reach the Kubernetes API server at https://127.0.0.1:1"),
	Entry("nor for the controller", "controller", "probes: 127.0.0.1:0", "https://127.0.0.1:1", "reach the Kubernetes API server at https://127.0.0.1:1"),
)

var _ = It("says so when a configuration file or a subcommand does not exist", func(ctx SpecContext) {
	for _, args := range [][]string{{"server", "--config", "/nowhere.yaml"}, {"serve"}, {"server", "extra"}, {"server", "--flag"}} {
		out, err := started(args...)
		Expect(err).To(HaveOccurred())
		Expect(strings.TrimSpace(out)).To(And(HavePrefix("apikey-operator: "), Not(ContainSubstring("\n"))))
	}
})

var _ = It("takes the deletion of a Namespace with its keys for normal", func(ctx SpecContext) {
	kubectl(ctx, "create", "namespace", "short-lived")
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprintf("{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: key-%d, namespace: short-lived}}", i))
	}
	file := filepath.Join(GinkgoT().TempDir(), "keys.yaml")
	Expect(os.WriteFile(file, []byte(strings.Join(keys, "\n---\n")), 0o600)).To(Succeed())
	kubectl(ctx, "apply", "-f", file)
	kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=60s", "-n", "short-lived", "apikeys", "--all")
	before, err := os.Stat(op.Controller.LogFile)
	Expect(err).NotTo(HaveOccurred())
	release, err := k8s.Pause("kube-controller-manager")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(release)
	kubectl(ctx, "delete", "namespace", "short-lived", "--wait=false")
	kubectl(ctx, "delete", "secrets", "-n", "short-lived", "--all") // as the namespace controller may do first
	time.Sleep(2 * time.Second)
	release()
	kubectl(ctx, "wait", "--for=delete", "namespace/short-lived", "--timeout=60s")
	time.Sleep(time.Second) // Events are written in the background
	text, err := os.ReadFile(op.Controller.LogFile)
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(text[before.Size():])) {
		Expect(line).NotTo(MatchRegexp(`"level":"(ERROR|WARN)"|^[EW]\d{4}`))
	}
})
