// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/kaana/apikey-operator/internal/apikey"
)

// said is what the plugin said.
type said struct {
	code     int
	out, err string
}

// pluginCommand is `kubectl apikey` in Namespace acme-dev, found on the PATH as kubectl finds it.
func pluginCommand(ctx SpecContext, stdin string, args ...string) *exec.Cmd {
	GinkgoHelper()
	bin := filepath.Join(root, "bin")
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "k8s", "kubectl"), append([]string{"apikey", "--kubeconfig", k8s.Kubeconfig, "-n", "acme-dev"}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

func plugin(ctx SpecContext, stdin string, args ...string) said {
	GinkgoHelper()
	var out, errs bytes.Buffer
	cmd := pluginCommand(ctx, stdin, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		Expect(err).NotTo(HaveOccurred())
	}
	return said{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// done is plugin, which must succeed.
func done(ctx SpecContext, stdin string, args ...string) said {
	GinkgoHelper()
	a := plugin(ctx, stdin, args...)
	Expect(a.code).To(Equal(0), "%v: %s%s", args, a.out, a.err)
	return a
}

var _ = Describe("kubectl apikey", func() {
	It("leads a delivered key through its life", func(ctx SpecContext) {
		a := done(ctx, "", "create", "plug", "--every=720h", "--scope=projects:read", "--description=of a test", "--wait")
		Expect(a.out).To(MatchRegexp(`(?m)^plug +Active +True +True +Issued +member`))
		held := token(ctx, "acme-dev", "plug", "token")
		Expect(done(ctx, held, "verify").out).To(ContainSubstring("accepted: apikey:acme-dev:plug, role member, tenant acme, key acme-dev/plug"))
		Expect(done(ctx, held, "verify", "--server-url", op.URL, "--server-ca", op.CAFile).out).To(ContainSubstring(`"username":"apikey:acme-dev:plug"`))
		Expect(done(ctx, "", "describe", "plug").out).To(And(ContainSubstring("of a test"), ContainSubstring("Issued credential"), MatchRegexp(`Current +accepted`)))
		Expect(done(ctx, "", "list", "-o", "name", "--state=Active").out).To(ContainSubstring("apikey.auth.kaana.com/plug\n"))

		done(ctx, "", "rotate", "apikey.auth.kaana.com/plug", "--wait") // as -o name writes it
		Expect(token(ctx, "acme-dev", "plug", "token")).NotTo(Equal(held))
		Expect(done(ctx, held, "explain").out).To(ContainSubstring("it is accepted until "))

		done(ctx, "", "suspend", "plug", "--reason=on holiday", "--wait")
		a = plugin(ctx, held, "explain")
		Expect(a.code).To(Equal(3))
		Expect(a.out).To(And(ContainSubstring("✗ ApiKey acme-dev/plug is suspended: on holiday"), ContainSubstring("kubectl apikey resume plug -n acme-dev")))
		Expect(plugin(ctx, "", "rotate", "plug", "--wait").err).To(ContainSubstring("rotates when it is resumed: resume it first, or omit --wait"))
		done(ctx, "", "resume", "plug", "--wait")

		a = plugin(ctx, "", "revoke", "no-such", "plug", "--wait") // a typo in one keeps no other alive
		Expect(a.code).To(Equal(1))
		Expect(a.err).To(And(ContainSubstring("there is no ApiKey no-such in Namespace acme-dev"), ContainSubstring("acme-dev/plug revoked")))
		Expect(kubectl(ctx, "get", "secret", "-n", "acme-dev", "-o", "name")).NotTo(ContainSubstring("secret/plug\n"))
		Expect(plugin(ctx, held, "verify").code).To(Equal(3))
		Expect(plugin(ctx, "", "rotate", "plug").err).To(ContainSubstring("plug is revoked permanently: create another key"))
	})

	It("makes a token here that is shown once, and replaces it", func(ctx SpecContext) {
		a := done(ctx, "", "create", "shown", "--show-once", "--owner=a@example.com", "--owner-id=77", "--expires=90d", "--wait")
		first := strings.TrimSpace(a.out)
		Expect(first).To(MatchRegexp(`^kaana_[0-9A-Za-z]{49}$`))
		Expect(a.err).NotTo(ContainSubstring(first))
		Expect(done(ctx, first, "verify", "-o", "json").out).To(MatchJSON(fmt.Sprintf(
			`{"accepted":true,"key":"acme-dev/shown","id":"77","username":"a@example.com","role":"member","tenant":"acme","expires":%q}`,
			kubectl(ctx, "get", "apikey", "shown", "-n", "acme-dev", "-o", "jsonpath={.spec.expiresAt}"))))
		Expect(plugin(ctx, "", "rotate", "shown").err).To(ContainSubstring("use --show-once"))
		second := strings.TrimSpace(done(ctx, "", "rotate", "apikey.auth.kaana.com/shown", "--show-once", "--overlap=1h").out)
		for _, token := range []string{first, second} {
			Eventually(func() int { return status(token) }).Should(Equal(200))
		}
		Expect(kubectl(ctx, "get", "apikey", "shown", "-n", "acme-dev", "-o", "yaml")).NotTo(Or(ContainSubstring(first), ContainSubstring(second)))
	})

	It("says why a token is refused, and never shows it", func(ctx SpecContext) {
		done(ctx, "", "create", "why", "--cidr=10.0.0.0/8", "--role=viewer", "--wait")
		held := token(ctx, "acme-dev", "why", "token")
		for _, c := range []struct {
			token string
			args  []string
			want  string
		}{
			{held[:30], nil, "✗ it starts like a token of this installation, but its length, a character or its checksum is wrong"},
			{"a-token-of-somebody-else", nil, "✗ no ApiKey in the cluster has its digest (SHA-256)"},
			{held, nil, "✗ it is accepted from 10.0.0.0/8 only"},
			{held, []string{"--from=10.1.2.3", "--role=admin"}, "✗ its role is viewer, which is less than admin"},
			{jwt(ctx, "admin"), nil, "It is a JWT, not an API key"},
		} {
			a := plugin(ctx, c.token, append([]string{"explain"}, c.args...)...)
			Expect(a.code).NotTo(Equal(0))
			Expect(a.out).To(ContainSubstring(c.want))
			Expect(a.out + a.err).NotTo(ContainSubstring(c.token))
		}
		Expect(done(ctx, held, "explain", "--from=10.1.2.3", "--role=viewer").out).To(ContainSubstring("accepted: apikey:acme-dev:why, role viewer, tenant acme"))
	})

	It("shows what a key is used for, as the server knows it", func(ctx SpecContext) {
		done(ctx, "", "create", "busy", "--wait")
		for range 3 {
			Expect(status(token(ctx, "acme-dev", "busy", "token"))).To(Equal(200))
		}
		admin := jwt(ctx, "admin")
		Eventually(func() string {
			return done(ctx, admin, "activity", "busy", "--server-url", op.URL, "--server-ca", op.CAFile).out
		}, "30s", "1s").Should(And(ContainSubstring("Accepted 3, refused 0"), MatchRegexp(`rest +3 +last`)))
		Expect(done(ctx, "", "activity", "busy").out).To(ContainSubstring("Issued credential"))
	})

	It("tells wrong usage, and what takes too long, by its exit code", func(ctx SpecContext) {
		for _, args := range [][]string{{"bogus"}, {"create"}, {"list", "-o", "wide"}, {"create", "x", "--every=soon"}, {"create", "x", "--owner=a"}, {"create", "x", "--expires=never"},
			{"revoke"}, {"rotate", "a", "b", "--show-once"}, {"import", "--digests", "--dry-run=perhaps"}, {"list", "--state=Gone"}, {"verify"}, {"create", "x", "--role=boss"}, {"create", "x", "--timeout=1s"}} {
			Expect(plugin(ctx, "", args...).code).To(Equal(2), strings.Join(args, " "))
		}
		a := plugin(ctx, "", "verify", "a-token-in-an-argument")
		Expect(a.code).To(Equal(2))
		Expect(a.err).To(And(ContainSubstring("give the token on standard input"), Not(ContainSubstring("a-token-in"))))
		defer op.Controller.Pause()()
		a = plugin(ctx, "", "create", "late", "--wait", "--timeout=1s")
		Expect(a.code).To(Equal(4))
		Expect(a.err).To(ContainSubstring("waited 1s for late: the controller has not acted on it yet; check that it is running"))
	})

	It("completes names and flags in a shell", func(ctx SpecContext) {
		done(ctx, "", "create", "complete-me", "--role=viewer")
		Expect(done(ctx, "", "__complete", "describe", "").out).To(ContainSubstring("complete-me\n"))
		Expect(done(ctx, "", "__complete", "create", "x", "--role", "").out).To(ContainSubstring("viewer\nmember\nadmin\n"))
	})

	It("imports tokens that exist already, goes on after an interruption, and makes none twice", func(ctx SpecContext) {
		const many = 1000
		kubectl(ctx, "create", "namespace", "legacy")
		old := func(i int) string { return fmt.Sprintf("legacy-token-of-somebody-%06d", i) }
		var tokens, digests strings.Builder
		for i := range many {
			fmt.Fprintln(&tokens, old(i))
			fmt.Fprintln(&digests, apikey.DigestOf(old(i)))
		}
		count := func() int { return len(strings.Fields(kubectl(ctx, "get", "apikeys", "-n", "legacy", "-o", "name"))) }

		Expect(done(ctx, tokens.String(), "import", "--tokens", "-n", "legacy", "--dry-run=client").err).To(ContainSubstring("1000 ApiKeys would be created"))
		Expect(done(ctx, tokens.String(), "import", "--tokens", "-n", "legacy", "--dry-run=server").err).To(ContainSubstring("1000 would be imported"))
		Expect(count()).To(Equal(0))

		By("interrupting it")
		session, err := gexec.Start(pluginCommand(ctx, tokens.String(), "import", "--tokens", "-n", "legacy", "--concurrency=4"), GinkgoWriter, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		Eventually(count).Should(BeNumerically(">", 20))
		session.Signal(syscall.SIGINT)
		Eventually(session, "10s").Should(gexec.Exit(130))
		Expect(session.Err).To(gbytes.Say("interrupted: [0-9]+ of 1000 imported; run the same command again to continue"))
		before := count()
		Expect(before).To(BeNumerically("<", many))

		By("going on, now with digests: it is the same")
		a := done(ctx, digests.String(), "import", "--digests", "-n", "legacy")
		var there, left int // what was under way at the interruption may have come through since
		_, err = fmt.Sscanf(a.err, "%d of 1000 exist already, %d remain.", &there, &left)
		Expect(err).NotTo(HaveOccurred(), a.err)
		Expect(there).To(BeNumerically(">=", before))
		Expect(there + left).To(Equal(many))
		Expect(count()).To(Equal(many))
		Expect(done(ctx, digests.String(), "import", "--digests", "-n", "legacy").err).To(ContainSubstring("0 imported"))
		Expect(count()).To(Equal(many))

		By("using one")
		Eventually(func() int { return status(old(many - 1)) }).Should(Equal(200))
		Expect(kubectl(ctx, "get", "apikeys", "-n", "legacy", "-o", "yaml")).NotTo(ContainSubstring(old(7)))

		By("saying what is wrong with a line, and importing nothing")
		a = plugin(ctx, "token,name\n"+old(1)+",Bad Name\n", "import", "-n", "legacy")
		Expect(a.code).To(Equal(2))
		Expect(a.err).To(And(ContainSubstring("line 2: name: want lower-case letters"), Not(ContainSubstring(old(1)))))

		By("refusing what its author was not granted, line by line")
		kubectl(ctx, "create", "rolebinding", "-n", "acme-dev", "importer", "--clusterrole=edit", "--user=importer")
		a = plugin(ctx, "token,name,role\n"+old(5001)+",mine,member\n"+old(5002)+",too-much,admin\n", "import", "-n", "acme-dev", "--as=importer")
		Expect(a.code).To(Equal(1))
		Expect(a.err).To(And(ContainSubstring("line 3: "), ContainSubstring("may not mint a key of role admin"), ContainSubstring("1 of 2 imported; 1 refused")))
	}, NodeTimeout(3*time.Minute))
})
