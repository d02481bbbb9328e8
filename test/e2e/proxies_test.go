// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/test/issuer"
	"github.com/kaana/apikey-operator/test/process"
)

// snippet returns the first code block of that language in a page of the documentation, with this
// test's addresses in it.
func snippet(page, language, backend string) string {
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	Expect(err).NotTo(HaveOccurred())
	_, rest, ok := strings.Cut(string(text), "```"+language+"\n")
	Expect(ok).To(BeTrue())
	block, _, _ := strings.Cut(rest, "```")
	const host = "apikey-operator-server.apikey-system.svc"
	return strings.NewReplacer("https://"+host, op.URL, "/etc/nginx/kaana-ca.crt", op.CAFile, "/etc/caddy/kaana-ca.crt", op.CAFile,
		"proxy_ssl_name "+host, "proxy_ssl_name localhost", "tls_server_name "+host, "tls_server_name localhost", "reverse_proxy backend", "reverse_proxy "+backend).Replace(block)
}

// launch starts a proxy and waits until it listens.
func launch(address, binary string, args ...string) {
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = GinkgoWriter, GinkgoWriter
	cmd.Env = append(os.Environ(), "HOME="+GinkgoT().TempDir())
	Expect(process.Start(cmd, syscall.SIGTERM)).To(Succeed(), "run hack/deps and make proxies")
	DeferCleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	Eventually(func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}).Should(Succeed())
}

func freeAddress() string {
	at, err := process.Address()
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return at
}

// strange returns a token that no key has.
func strange() string {
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	token, err := format.Mint(rand.Reader)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return token.Reveal()
}

func edit(text string, edits []string) string { return strings.NewReplacer(edits...).Replace(text) }

// nginx starts Debian's nginx with the snippet of the documentation and returns its address.
func nginx(backend string, edits ...string) string {
	dir, address := GinkgoT().TempDir(), freeAddress()
	config := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 1;
events {}
http {
  access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  upstream backend { server %[2]s; }
  server { listen %[3]s;
%[4]s
  }
}`, dir, backend, address, edit(snippet("proxies.md", "nginx", backend), edits))
	file := filepath.Join(dir, "nginx.conf")
	Expect(os.WriteFile(file, []byte(config), 0o600)).To(Succeed())
	binary, err := exec.LookPath("nginx")
	if err != nil {
		binary = "/usr/sbin/nginx"
	}
	launch(address, binary, "-c", file, "-e", filepath.Join(dir, "error.log"))
	return address
}

// caddy starts Caddy with the snippet of the documentation and returns its address.
func caddy(backend string, edits ...string) string {
	dir, address := GinkgoT().TempDir(), freeAddress()
	config := fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}\nhttp://%s {\n%s\n}\n", address, edit(snippet("proxies.md", "caddy", backend), edits))
	file := filepath.Join(dir, "Caddyfile")
	Expect(os.WriteFile(file, []byte(config), 0o600)).To(Succeed())
	launch(address, filepath.Join(root, "bin", "proxies", "caddy"), "run", "--adapter", "caddyfile", "--config", file)
	return address
}

var _ = DescribeTable("guards a backend that sees who it is and nothing that a client made up", func(ctx SpecContext, proxy func(string, ...string) string, name string) {
	var got http.Header
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	DeferCleanup(backend.Close)
	address := proxy(strings.TrimPrefix(backend.URL, "http://"))
	var body []byte
	call := func(path string, headers ...string) *http.Response {
		r, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
		Expect(err).NotTo(HaveOccurred())
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1]) // spelt as it is
		}
		got = nil
		resp, err := http.DefaultTransport.RoundTrip(r)
		Expect(err).NotTo(HaveOccurred())
		body, err = io.ReadAll(resp.Body)
		Expect(err).NotTo(HaveOccurred())
		Expect(resp.Body.Close()).To(Succeed())
		return resp
	}
	t := newKey(ctx, name)
	Eventually(func() int { return status(t) }).Should(Equal(200))
	spoof := []string{"Authorization", "Bearer " + t, "X-Auth-User", "root", "X-Auth-Role", "admin", "x-auth-scopes", "everything",
		"Connection", "X-Auth-User, X-Auth-Tenant", "X-Forwarded-For", "10.0.0.1", "X-Auth-Tenant", "globex", "X-Auth-Tenant", "globex"}
	Expect(call("/", spoof...).StatusCode).To(Equal(200))
	Expect(got.Values("X-Auth-User")).To(Equal([]string{"apikey:acme-dev:" + name}))
	Expect(got.Values("X-Auth-Role")).To(Equal([]string{"member"}))
	Expect(got.Values("X-Auth-Tenant")).To(Equal([]string{"acme"}))
	Expect(got.Values("X-Auth-Key")).To(Equal([]string{"acme-dev/" + name}))
	Expect(got.Values("X-Auth-Scopes")).To(Equal([]string{"*"}))
	Expect(got).NotTo(HaveKey("Authorization"))

	By("other spellings of these names are dropped, or the request is refused")
	for _, spelling := range []string{"X_Auth_User", "X_AUTH_ROLE", "X-Auth_User", "X_Auth-Role", "x-auth_role", "X.Auth.Role", "X~Auth~User"} {
		resp := call("/", "Authorization", "Bearer "+t, spelling, "root")
		Expect(resp.StatusCode).To(Or(Equal(200), Equal(403)), spelling)
		for name := range got {
			Expect(strings.EqualFold(name, spelling)).To(BeFalse(), spelling+" reached the backend")
		}
	}

	By("no way around")
	for path, headers := range map[string][]string{
		"/": nil, "/a": {"Authorization", "Bearer x"}, "/b": {"X-Auth-User", "root"}, "/c": {"Authorization", "Bearer " + t, "Authorization", "Bearer " + t},
		"/d?access_token=x": {"Authorization", "Bearer " + t}, "//e": nil, "/%2e%2e/f": nil, "/healthz": {"User-Agent", "kube-probe/1.37"}, "/_AUTH": nil, "/auth": nil, "/_auth": nil,
	} {
		resp := call(path, headers...)
		Expect(resp.StatusCode).To(Or(Equal(401), Equal(400), Equal(404)), path)
		Expect(got).To(BeNil(), path+" reached the backend")
	}

	By("the client learns what is documented, once")
	refused := call("/", "Authorization", "Bearer x")
	Expect(refused.Header.Values("WWW-Authenticate")).To(Equal([]string{invalid}))
	Expect(string(body)).To(HavePrefix(`{"error":"Unauthorized","message":"Invalid or missing authentication token"`))
	refused = call("/", "Authorization", "Bearer "+token(ctx, "acme-prod", "billing-credentials", "api-key"))
	Expect(refused.StatusCode).To(Equal(403))
	Expect(refused.Header.Values("WWW-Authenticate")).To(Equal([]string{challenge + `, error="insufficient_scope"`}))
	Expect(string(body)).To(HavePrefix(`{"error":"Forbidden","message":"You don't have permission to access this resource"`))
	Expect(refused.Header.Values("Content-Type")).To(Equal([]string{"application/json"}))

	By("and what is no verdict stays what it is")
	release, err := k8s.Pause("etcd")
	Expect(err).NotTo(HaveOccurred())
	undecided := call("/", "Authorization", "Bearer "+strange())
	release()
	Expect(undecided.StatusCode).To(Equal(503))
	Expect(undecided.Header.Values("Retry-After")).To(Equal([]string{"1"}))
	Expect(got).To(BeNil())
	good := address
	address = proxy(strings.TrimPrefix(backend.URL, "http://"), "scope=", "scop=")
	Expect(call("/", "Authorization", "Bearer "+t).StatusCode).To(Equal(400))
	address = proxy(strings.TrimPrefix(backend.URL, "http://"), op.URL, "https://"+freeAddress())
	Expect(call("/", "Authorization", "Bearer "+t).StatusCode).To(Or(Equal(503), Equal(502)))
	Expect(got).To(BeNil())
	address = good

	By("a JWT")
	jwt, err := issuer.SignIn(ctx, op.Issuer.URL, op.CAFile, "member")
	Expect(err).NotTo(HaveOccurred())
	Expect(call("/", "Authorization", "Bearer "+jwt.AccessToken).StatusCode).To(Equal(200))
	Expect(got.Get("X-Auth-Method") + " " + got.Get("X-Auth-User")).To(Equal("jwt max@acme.example"))

	By("an address that a client claims does not count, one that nginx saw does")
	applyKey(ctx, name+"-from-ten", "{role: member, allowedCIDRs: [10.0.0.0/8]}")
	kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "-n", "acme-dev", "apikey/"+name+"-from-ten")
	Expect(call("/", "Authorization", "Bearer "+token(ctx, "acme-dev", name+"-from-ten", "token"), "X-Forwarded-For", "10.0.0.1").StatusCode).To(Equal(401))

	By("a revocation")
	kubectl(ctx, "patch", "apikey", "-n", "acme-dev", name, "--type=merge", "-p", `{"spec":{"state":"Revoked"}}`)
	Eventually(func() int { return call("/", "Authorization", "Bearer "+t).StatusCode }, "1s").Should(Equal(401))
},
	Entry("nginx", nginx, "behind-nginx"),
	Entry("Caddy", caddy, "behind-caddy"),
)
