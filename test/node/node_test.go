// SPDX-License-Identifier: Apache-2.0

//go:build node

// Package node tries the product as it is run: its image, installed with Helm on a real node, used by Pods. `make e2e` runs it.
package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kaana/apikey-operator/test/cluster"
)

func TestNode(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(90 * time.Second)
	SetDefaultEventuallyPollingInterval(250 * time.Millisecond)
	RunSpecs(t, "the product on a real node")
}

const (
	system = "apikey-system"
	apps   = "apps"
	chart  = "charts/apikey-operator"
	// kubeletSync is how long a kubelet takes to notice a Secret, at most: the default of its sync is a minute, and half of it again.
	kubeletSync = 90 * time.Second
)

var root string

// run runs a program of the repository, or of its bin, and returns what it says.
func run(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := try(ctx, "", args...)
	Expect(err).NotTo(HaveOccurred(), "%s: %s", strings.Join(args, " "), out)
	return out
}

func try(ctx context.Context, stdin string, args ...string) (string, error) {
	program := args[0]
	for _, dir := range []string{"bin", "bin/k8s", "bin/tools"} {
		if at := filepath.Join(root, dir, args[0]); fileExists(at) {
			program = at
		}
	}
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	cmd.Dir, cmd.Stdin = root, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func fileExists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

func kubectl(ctx context.Context, args ...string) string {
	GinkgoHelper()
	return run(ctx, append([]string{"kubectl"}, args...)...)
}

func helm(ctx context.Context, args ...string) string {
	GinkgoHelper()
	return run(ctx, append([]string{"helm", "-n", system}, args...)...)
}

// apply applies a manifest in the Namespace of workloads.
func apply(ctx context.Context, manifest string) {
	GinkgoHelper()
	out, err := try(ctx, manifest, "kubectl", "apply", "-n", apps, "-f", "-")
	Expect(err).NotTo(HaveOccurred(), out)
}

// tally is what a caller says of itself.
type tally struct {
	OK, Refused, Failed int
	Hint, Last          string
}

// calls returns what the callers of a workload, all its Pods that run together, say last.
func calls(ctx context.Context, workload string) tally {
	GinkgoHelper()
	var sum tally
	for pod := range strings.FieldsSeq(kubectl(ctx, "get", "pods", "-n", apps, "-l", "app="+workload, "-o", "name")) {
		out, err := try(ctx, "", "kubectl", "logs", "-n", apps, pod, "--tail=1")
		var t tally
		if err != nil || json.Unmarshal([]byte(out), &t) != nil {
			continue // it starts, or has just gone
		}
		sum.OK, sum.Refused, sum.Failed = sum.OK+t.OK, sum.Refused+t.Refused, sum.Failed+t.Failed
		sum.Hint, sum.Last = t.Hint, sum.Last+t.Last
	}
	return sum
}

// report puts a line into the test's log that says how it went.
func report(ctx context.Context, what, workload string) {
	GinkgoHelper()
	t := calls(ctx, workload)
	GinkgoWriter.Printf("%-46s %6d calls accepted, %d refused, %d without an answer\n", what+":", t.OK, t.Refused, t.Failed)
}

// more waits for calls beyond those of now.
func more(ctx context.Context, workload string) {
	GinkgoHelper()
	before := calls(ctx, workload).OK
	Eventually(func() int { return calls(ctx, workload).OK }).Should(BeNumerically(">", before+50))
}

// neverRefused wants that no call of a workload was ever refused, nor went without an answer.
func neverRefused(ctx context.Context, workload string) {
	GinkgoHelper()
	more(ctx, workload)
	t := calls(ctx, workload)
	Expect(t.Refused).To(BeZero(), t.Last)
	Expect(t.Failed).To(BeZero(), t.Last)
}

// deploy deploys a caller that has its token as said: from a file, or from the environment.
func deploy(ctx context.Context, name, secret string, fromFile bool) {
	GinkgoHelper()
	token := `{name: TOKEN, valueFrom: {secretKeyRef: {name: ` + secret + `, key: token}}}`
	mounts, volumes := "", ""
	if fromFile {
		token = `{name: TOKEN_FILE, value: /key/token}`
		mounts, volumes = "\n        - {name: key, mountPath: /key, readOnly: true}", "\n      - {name: key, secret: {secretName: "+secret+"}}"
	}
	apply(ctx, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: `+name+`}
spec:
  selector: {matchLabels: {app: `+name+`}}
  template:
    metadata: {labels: {app: `+name+`}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      terminationGracePeriodSeconds: 5
      containers:
      - name: caller
        image: registry.local/caller:1
        imagePullPolicy: Never
        env:
        - {name: URL, value: "https://apikey-operator-server.`+system+`.svc/api/user"}
        - {name: CA_FILE, value: /ca/ca.crt}
        - `+token+`
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        volumeMounts:
        - {name: ca, mountPath: /ca, readOnly: true}`+mounts+`
      volumes:
      - {name: ca, configMap: {name: server-ca}}`+volumes+"\n")
	kubectl(ctx, "rollout", "status", "-n", apps, "deployment/"+name, "--timeout=90s")
}

// hint is the end of the token that is delivered.
func hint(ctx context.Context, secret string) string {
	GinkgoHelper()
	token := kubectl(ctx, "get", "secret", secret, "-n", apps, "-o", "go-template={{.data.token | base64decode}}")
	return token[len(token)-4:]
}

// denied is how many requests the servers have denied since they started, also by a Pod that is gone.
func denied(ctx context.Context) (count float64) {
	GinkgoHelper()
	for pod := range strings.FieldsSeq(kubectl(ctx, "get", "pods", "-n", system, "-l", "app.kubernetes.io/component=server", "-o", "jsonpath={.items[*].metadata.name}")) {
		text := kubectl(ctx, "get", "--raw", "/api/v1/namespaces/"+system+"/pods/https:"+pod+":8080/proxy/metrics")
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "apikey_verifications_total{") || !strings.Contains(line, `outcome="denied"`) {
				continue
			}
			n, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:len(line)-1], 64)
			Expect(err).NotTo(HaveOccurred(), line)
			count += n
		}
	}
	return count
}

func rotate(ctx context.Context, key string) {
	GinkgoHelper()
	run(ctx, "kubectl", "apikey", "rotate", key, "-n", apps, "--wait")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	root, err = cluster.Root()
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Getenv("KUBECONFIG")).NotTo(BeEmpty(), "run make e2e")
	caller := GinkgoT().TempDir()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(caller, "caller"), "./test/node/caller")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	run(ctx, "hack/node/node", "image", "registry.local/caller:1", caller, `["/caller"]`, "65532")
	for _, version := range []string{"e2e-1", "e2e-2"} {
		run(ctx, "hack/node/node", "load", filepath.Join(root, "bin", "image-"+version+".tar"))
	}
	for _, ns := range []string{system, apps} {
		kubectl(ctx, "create", "namespace", ns)
		kubectl(ctx, "label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted")
	}
})

var _ = ReportAfterEach(func(r SpecReport) {
	if !r.Failed() {
		return
	}
	for _, args := range [][]string{
		{"get", "pods,apikeys,secrets", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"logs", "-n", system, "-l", "app.kubernetes.io/component=controller", "--tail=40", "--prefix"},
		{"logs", "-n", system, "-l", "app.kubernetes.io/component=server", "--tail=40", "--prefix"},
	} {
		out, _ := try(context.Background(), "", append([]string{"kubectl"}, args...)...)
		AddReportEntry(strings.Join(args, " "), out)
		GinkgoWriter.Println(out)
	}
})

var _ = Describe("from installing to uninstalling", Ordered, func() {
	install := []string{"--set", "image.tag=e2e-1", "--set", "controller.refreshPods=true", "--wait", "--timeout", "2m"}

	It("installs with Helm, and its own test passes", func(ctx SpecContext) {
		began := time.Now()
		out := helm(ctx, append([]string{"install", "keys", chart}, install...)...)
		Expect(out).To(ContainSubstring("helm test keys -n " + system))
		GinkgoWriter.Printf("helm install, until all Pods are ready: %s\n%s\n", time.Since(began).Round(time.Second/10), kubectl(ctx, "get", "pods", "-n", system))
		GinkgoWriter.Println(helm(ctx, "test", "keys", "--logs", "--timeout", "2m"))
		By("a Job has the API server trust the webhook")
		Eventually(func() string {
			return kubectl(ctx, "get", "validatingwebhookconfiguration", "apikey-operator", "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}")
		}, "60s").ShouldNot(BeEmpty())
	})

	It("asks the admission webhook through its Service", func(ctx SpecContext) {
		out, err := try(ctx, "", "kubectl", "apikey", "create", "bad", "-n", apps, "--schedule=0 3 * * 8")
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("end of range (8) above maximum (6)"))
	})

	It("gives a workload a key that it mounts, and answers its calls", func(ctx SpecContext) {
		ca := kubectl(ctx, "get", "secret", "apikey-operator-server-tls", "-n", system, "-o", `go-template={{index .data "ca.crt" | base64decode}}`)
		kubectl(ctx, "create", "configmap", "server-ca", "-n", apps, "--from-literal=ca.crt="+ca)
		apply(ctx, `{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: mounted}, spec: {rotation: {every: 720h, overlap: 10m}, secret: {refresh: Pods}}}`)
		apply(ctx, `{apiVersion: auth.kaana.com/v1alpha1, kind: ApiKey, metadata: {name: env}, spec: {secret: {restart: [{kind: Deployment, name: env}]}}}`)
		kubectl(ctx, "wait", "-n", apps, "--for=condition=Ready", "apikey", "--all", "--timeout=30s")
		deploy(ctx, "mounted", "mounted", true)
		deploy(ctx, "env", "env", false)
		neverRefused(ctx, "mounted")
		neverRefused(ctx, "env")
		GinkgoWriter.Println(kubectl(ctx, "get", "pods", "-A", "-o", "wide"))
		report(ctx, "mounted, before any rotation", "mounted")
	})

	It("rotates while the workload calls: none is refused, and refresh: Pods brings the new token within seconds", func(ctx SpecContext) {
		for i := range 3 {
			rotate(ctx, "mounted")
			began, want := time.Now(), hint(ctx, "mounted")
			Eventually(func() string { return calls(ctx, "mounted").Hint }, "20s").Should(Equal(want))
			report(ctx, fmt.Sprintf("mounted, rotation %d, new token after %s", i+1, time.Since(began).Round(time.Second/10)), "mounted")
		}
		neverRefused(ctx, "mounted")
	})

	It("rotates without a refresh: the kubelet brings the new token in its own time, and none is refused", func(ctx SpecContext) {
		kubectl(ctx, "patch", "apikey", "mounted", "-n", apps, "--type=merge", "-p", `{"spec":{"secret":{"refresh":"None"}}}`)
		rotate(ctx, "mounted")
		began, want := time.Now(), hint(ctx, "mounted")
		Eventually(func() string { return calls(ctx, "mounted").Hint }, kubeletSync+30*time.Second).Should(Equal(want))
		report(ctx, fmt.Sprintf("mounted, without refresh, after %s", time.Since(began).Round(time.Second)), "mounted")
		neverRefused(ctx, "mounted")
	})

	It("restarts a workload that reads its environment, and none of its calls is refused", func(ctx SpecContext) {
		before := kubectl(ctx, "get", "pods", "-n", apps, "-l", "app=env", "-o", "name")
		neverRefused(ctx, "env")
		was := denied(ctx)
		rotate(ctx, "env")
		want := hint(ctx, "env")
		Eventually(func() string { return calls(ctx, "env").Hint }).Should(Equal(want))
		kubectl(ctx, "rollout", "status", "-n", apps, "deployment/env", "--timeout=60s")
		Expect(kubectl(ctx, "get", "pods", "-n", apps, "-l", "app=env", "-o", "name")).NotTo(Equal(before))
		neverRefused(ctx, "env")
		Expect(denied(ctx)).To(Equal(was), "a Pod that is gone was refused")
		report(ctx, "env, restarted", "env")
	})

	It("revokes: refused at once in every Pod, and the Secret goes", func(ctx SpecContext) {
		Expect(calls(ctx, "env").Refused).To(BeZero())
		run(ctx, "kubectl", "apikey", "revoke", "env", "-n", apps, "--wait")
		Eventually(func() int { return calls(ctx, "env").Refused }, "5s").Should(BeNumerically(">", 10))
		accepted := calls(ctx, "env").OK
		Consistently(func() int { return calls(ctx, "env").OK }, "3s").Should(Equal(accepted))
		Expect(denied(ctx)).To(BeNumerically(">", 10))
		report(ctx, "env, revoked", "env")
		kubectl(ctx, "delete", "deployment", "env", "-n", apps)
		neverRefused(ctx, "mounted")
	})

	It("upgrades and rolls back under load, and no call goes without an answer", func(ctx SpecContext) {
		helm(ctx, append([]string{"upgrade", "keys", chart, "--set", "image.tag=e2e-2"}, install[2:]...)...)
		images := func() string {
			return kubectl(ctx, "get", "pods", "-n", system, "-o", "jsonpath={.items[*].spec.containers[*].image}")
		}
		Eventually(images).ShouldNot(ContainSubstring("e2e-1"))
		neverRefused(ctx, "mounted")
		report(ctx, "mounted, after the upgrade", "mounted")
		helm(ctx, "rollback", "keys", "1", "--wait", "--timeout", "2m")
		Eventually(images).ShouldNot(ContainSubstring("e2e-2"))
		neverRefused(ctx, "mounted")
		report(ctx, "mounted, after the rollback", "mounted")
	})

	It("runs two servers within Roles of some Namespaces", func(ctx SpecContext) {
		helm(ctx, append([]string{"upgrade", "keys", chart, "--set", "watchNamespaces={" + apps + "},server.replicas=2,activity.database=off"}, install...)...)
		kubectl(ctx, "create", "namespace", "elsewhere")
		run(ctx, "kubectl", "apikey", "create", "watched", "-n", apps, "--wait")
		out, err := try(ctx, "", "kubectl", "apikey", "create", "unseen", "-n", "elsewhere", "--wait", "--timeout=5s")
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("the controller has not acted on it yet"))
		rotate(ctx, "mounted")
		neverRefused(ctx, "mounted")
		report(ctx, "mounted, two servers", "mounted")
	})

	It("leaves CRD, ApiKeys and Secrets at uninstall, and takes them up again", func(ctx SpecContext) {
		key := kubectl(ctx, "get", "secret", "mounted", "-n", apps, "-o", "jsonpath={.metadata.uid}{.data.token}")
		helm(ctx, "uninstall", "keys", "--wait", "--timeout", "2m")
		Expect(kubectl(ctx, "get", "crd", "-o", "name")).To(ContainSubstring("apikeys.auth.kaana.com"))
		Expect(kubectl(ctx, "get", "apikeys", "-n", apps, "-o", "name")).To(ContainSubstring("mounted"))
		Eventually(func() string { return kubectl(ctx, "get", "all", "-n", system, "-o", "name") }).Should(BeEmpty())
		Expect(kubectl(ctx, "get", "clusterroles,clusterrolebindings,mutatingwebhookconfigurations", "-o", "name")).NotTo(ContainSubstring("apikey"))
		Expect(kubectl(ctx, "get", "validatingadmissionpolicies", "-o", "name")).To(ContainSubstring("apikey-grants"))
		helm(ctx, append([]string{"install", "keys", chart}, install...)...)
		Expect(kubectl(ctx, "get", "secret", "mounted", "-n", apps, "-o", "jsonpath={.metadata.uid}{.data.token}")).To(Equal(key), "the token is another")
		refused := calls(ctx, "mounted").Refused
		more(ctx, "mounted")
		Expect(calls(ctx, "mounted").Refused).To(Equal(refused), "a token that was good is refused")
	})
})
