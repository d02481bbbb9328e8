// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kaana/apikey-operator/test/cluster"
)

// forms are the ways in which a token may be written, each without what its neighbours change.
func forms(token string) map[string]string {
	var percent, escaped strings.Builder
	for _, c := range []byte(token) {
		fmt.Fprintf(&percent, "%%%02x", c)
		fmt.Fprintf(&escaped, `\u%04x`, c)
	}
	out := map[string]string{"raw": token, "without its prefix": token[6:49], "hex": hex.EncodeToString([]byte(token)),
		"percent-encoded": percent.String(), "JSON-escaped": escaped.String()}
	for shift := range 3 { // base64 of a token that starts at another byte of three
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + token))
		out[fmt.Sprintf("base64, shifted by %d", shift)] = text[4 : len(text)-4]
	}
	return out
}

// shown returns the form in which the text shows the token, "" when it does not.
func shown(text []byte, token string) string {
	lower := bytes.ToLower(text)
	for form, s := range forms(token) {
		if bytes.Contains(text, []byte(s)) || form != "raw" && !strings.HasPrefix(form, "base64") && bytes.Contains(lower, []byte(strings.ToLower(s))) {
			return form
		}
	}
	return ""
}

var _ = It("finds a token in any form that it knows", func() {
	token := "kaana_" + strings.Repeat("aB3", 16) + "Z"
	for form, text := range forms(token) {
		Expect(shown([]byte("before "+text+" after"), token)).NotTo(BeEmpty(), form)
	}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + token + "and more"))
		Expect(shown([]byte(encoded), token)).NotTo(BeEmpty())
	}
	Expect(shown([]byte("something else"), token)).To(BeEmpty())
})

var _ = It("shows no token in etcd outside its Secret, in logs, metrics, answers or what kubectl describes", func(ctx SpecContext) {
	first := newKey(ctx, "canary")
	kubectl(ctx, "annotate", "apikey", "-n", "acme-dev", "canary", "auth.kaana.com/rotate-requested-at=now")
	var second string
	Eventually(func() string {
		second = token(ctx, "acme-dev", "canary", "token")
		return second
	}).ShouldNot(Equal(first))
	Eventually(func() int { return status(second) }).Should(Equal(200))
	answers := []string{get("/api/user", "Bearer "+first).Body, get("/api/user", "Bearer "+first+"x").Body, get("/api/nothing/"+first, "Bearer "+first).Body,
		get("/api/user", "Bearer "+second, "Bearer "+second).Body, get("/api/user?access_token=" + first).Body}
	sources := map[string][]byte{"answers": []byte(strings.Join(answers, "\n")),
		"describe": []byte(kubectl(ctx, "describe", "apikeys,secrets,events", "-n", "acme-dev"))}
	for _, p := range []*cluster.Process{op.Server, op.Controller} {
		log, err := os.ReadFile(p.LogFile)
		Expect(err).NotTo(HaveOccurred())
		sources[p.Name+"'s log"] = log
	}
	Expect(string(sources["server's log"])).To(ContainSubstring(`"msg":"denied"`))
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Get("https://" + op.ControllerMetrics + "/metrics")
	Expect(err).NotTo(HaveOccurred())
	sources["metrics"], err = io.ReadAll(resp.Body)
	Expect(err).NotTo(HaveOccurred())
	Expect(resp.Body.Close()).To(Succeed())
	Expect(string(sources["metrics"])).To(And(ContainSubstring("controller_runtime_reconcile_total"), MatchRegexp(`apikey_credentials{phase="Current"} [1-9]`), MatchRegexp(`apikey_keys{accepted="Accepted",reason="Issued"} [1-9]`),
		MatchRegexp(`apikey_next_expiry_timestamp_seconds [1-2]\.`), ContainSubstring(`workqueue_depth{controller="apikey"`)))

	stored, err := k8s.Stored(ctx)
	Expect(err).NotTo(HaveOccurred())
	const its = "/registry/secrets/acme-dev/canary"
	Expect(shown(stored[its], second)).NotTo(BeEmpty(), "the scan does not see the token where it is")
	delete(stored, its)
	Expect(len(stored)).To(BeNumerically(">", 100))
	for at, value := range stored {
		sources["etcd "+at] = append([]byte(at), value...)
	}
	for where, text := range sources {
		for _, t := range []string{first, second} {
			Expect(shown(text, t)).To(BeEmpty(), where)
		}
	}
})
