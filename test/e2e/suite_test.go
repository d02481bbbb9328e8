// SPDX-License-Identifier: Apache-2.0

// Package e2e tries the binary from outside: its two processes, each with its own ServiceAccount,
// on a real control plane, over HTTPS.
package e2e_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/test/cluster"
)

func TestEndToEnd(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "the binary from outside")
}

var (
	root   string // of the repository
	binary string
	state  string // folder of the control plane and the processes
	k8s    *cluster.Cluster
	op     *cluster.Operator
)

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	root, err = cluster.Root()
	Expect(err).NotTo(HaveOccurred())
	binary = filepath.Join(root, "bin", "apikey-operator")
	if other := os.Getenv("KAANA_OPERATOR"); other != "" { // of hack/sabotage
		binary = other
	}
	Expect(binary).To(BeAnExistingFile(), "run make build")
	state = GinkgoT().TempDir()
	k8s, err = cluster.StartForTest(ctx, state)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(k8s.Stop()).To(Succeed()) })
	op, err = k8s.StartOperator(ctx, binary, func(format string, args ...any) { GinkgoWriter.Printf(format+"\n", args...) })
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(op.Stop()).To(Succeed()) })
	for _, ns := range [][2]string{{"acme-prod", "acme"}, {"acme-dev", "acme"}, {"globex-prod", "globex"}} {
		kubectl(ctx, "create", "namespace", ns[0])
		kubectl(ctx, "label", "namespace", ns[0], "auth.kaana.com/tenant="+ns[1])
	}
	kubectl(ctx, "apply", "-k", filepath.Join(root, "config", "samples"))
	kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=60s", "-A", "apikeys", "--all", "--field-selector=metadata.name!=old-importer")
})

// scheme knows ApiKeys.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	ExpectWithOffset(1, v1alpha1.AddToScheme(s)).To(Succeed())
	return s
}

// kubectl runs kubectl as the administrator.
func kubectl(ctx SpecContext, args ...string) string {
	GinkgoHelper()
	out, err := k8s.Kubectl(ctx, args...)
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(out)
}

// token returns what is delivered.
func token(ctx SpecContext, namespace, secret, key string) string {
	GinkgoHelper()
	return kubectl(ctx, "get", "secret", "-n", namespace, secret, "-o", "go-template={{index .data \""+key+"\" | base64decode}}")
}

// newKey applies an ApiKey in acme-dev and returns its token.
func newKey(ctx SpecContext, name string) string {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "key.yaml")
	Expect(os.WriteFile(file, []byte("{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: "+name+", namespace: acme-dev}}"), 0o600)).To(Succeed())
	kubectl(ctx, "apply", "-f", file)
	kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=20s", "-n", "acme-dev", "apikey/"+name)
	return token(ctx, "acme-dev", name, "token")
}

// answer is what a client sees.
type answer struct {
	Status    int
	Body      string
	Challenge string
}

// get calls the server with those Authorization headers. Without an answer the status is 0.
func get(path string, authorization ...string) answer {
	r, err := http.NewRequest(http.MethodGet, op.URL+path, nil)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	resp, err := op.Client.Do(r)
	if err != nil {
		return answer{Body: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return answer{resp.StatusCode, string(body), resp.Header.Get("WWW-Authenticate")}
}

// status returns the HTTP status of GET /api/user with that token.
func status(token string) int { return get("/api/user", "Bearer "+token).Status }

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// seed is the seed of this run, so that what it finds can be found again.
func seed() uint64 { return uint64(GinkgoRandomSeed()) }
