// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// browser is a real Chromium with a fresh profile.
type browser struct {
	ctx      context.Context
	problems *[]string // what the browser complains of: CSP, script errors, requests to elsewhere
}

// newBrowser starts one that ends with the test.
func newBrowser() browser {
	GinkgoHelper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.NoFirstRun, // with a fresh profile
		chromedp.IgnoreCertErrors, // the certificate is this run's own; the tests of TLS are elsewhere
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	DeferCleanup(end)
	ctx, closed := chromedp.NewContext(allocated)
	DeferCleanup(closed)
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	DeferCleanup(cancel)
	b := browser{limited, &[]string{}}
	ours, issuers := "https://"+b.host()+"/", op.Issuer.URL
	chromedp.ListenTarget(limited, func(event any) {
		switch e := event.(type) {
		case *cdplog.EventEntryAdded:
			if !strings.Contains(e.Entry.Text, "status of 4") {
				*b.problems = append(*b.problems, string(e.Entry.Source)+": "+e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			*b.problems = append(*b.problems, "script: "+e.ExceptionDetails.Error())
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; !strings.HasPrefix(u, ours) && !strings.HasPrefix(u, issuers) && !strings.HasPrefix(u, "data:") {
				*b.problems = append(*b.problems, "request to "+u)
			}
		}
	})
	b.do(network.Enable(), cdplog.Enable())
	return b
}

func (b browser) host() string {
	_, port, _ := strings.Cut(strings.TrimPrefix(op.URL, "https://"), ":")
	return "localhost:" + port
}

func (b browser) do(actions ...chromedp.Action) {
	GinkgoHelper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		var at, text string
		_ = chromedp.Run(b.ctx, chromedp.Location(&at), chromedp.Text("body", &text))
		Fail(fmt.Sprintf("%v at %s: %s; %v", err, at, text, *b.problems))
	}
}

func (b browser) open(path string) {
	GinkgoHelper()
	b.do(chromedp.Navigate("https://" + b.host() + path))
}

func (b browser) text() (out string) {
	GinkgoHelper()
	b.do(chromedp.Text("body", &out))
	return out
}

// signIn signs an account in by mouse alone.
func (b browser) signIn(account string) {
	GinkgoHelper()
	b.open("/")
	b.do(chromedp.Click("main button"), chromedp.Click(fmt.Sprintf("button[value=%q]", account)), chromedp.WaitVisible(".who"))
}

// axe returns what axe-core finds on the page, in both colour schemes.
func (b browser) axe() (found []string) {
	GinkgoHelper()
	script, err := os.ReadFile(filepath.Join(root, "bin", "axe", "package", "axe.min.js"))
	Expect(err).NotTo(HaveOccurred(), "run hack/deps")
	for _, scheme := range []string{"light", "dark"} {
		var result string
		b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			chromedp.Evaluate(string(script)+";0", nil),
			chromedp.Evaluate(`axe.run().then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; "))))`, &result,
				func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		var ids []string
		Expect(json.Unmarshal([]byte(result), &ids)).To(Succeed())
		for _, id := range ids {
			found = append(found, scheme+" "+id)
		}
	}
	return found
}

// pictures writes what the page looks like to bin/pages, for eyes: wide and phone, light and dark.
func (b browser) pictures(name string) {
	GinkgoHelper()
	dir := filepath.Join(root, "bin", "pages")
	Expect(os.MkdirAll(dir, 0o750)).To(Succeed())
	for size, width := range map[string]int64{"wide": 1280, "phone": 390} {
		for _, scheme := range []string{"light", "dark"} {
			var png []byte
			b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
				chromedp.EmulateViewport(width, 900), chromedp.Sleep(100*time.Millisecond), chromedp.FullScreenshot(&png, 100))
			Expect(os.WriteFile(filepath.Join(dir, name+"-"+size+"-"+scheme+".png"), png, 0o600)).To(Succeed())
			var wider bool
			b.do(chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth`, &wider))
			Expect(wider).To(BeFalse(), name+" is wider than a "+size+" window")
		}
	}
	b.do(chromedp.EmulateViewport(1280, 900))
}

var _ = Describe("Settings > API Keys", Ordered, func() {
	It("refuses a lifetime that it does not offer, and makes no key that never expires", func(ctx SpecContext) {
		b := newBrowser()
		b.signIn("member")
		b.open("/settings/api-keys/new")
		b.do(chromedp.WaitVisible("form.form"), chromedp.SendKeys("input[name=name]", "odd-lifetime"),
			chromedp.Evaluate(`document.querySelector("select[name=expires]").selectedOptions[0].value = "2035-01-01"`, nil),
			chromedp.Click("form.form button.primary"), chromedp.WaitVisible(".fault"))
		Expect(b.text()).To(ContainSubstring("choose when the key expires"))
		Expect(kubectl(ctx, "get", "apikeys", "-A", "-o", "name")).NotTo(ContainSubstring("odd-lifetime"))
	})

	It("takes a member from signing in to a copied, working token, and to its end", func(ctx SpecContext) {
		b := newBrowser()
		b.open("/settings/api-keys")
		Expect(b.text()).To(ContainSubstring("Sign in to kaana"))
		Expect(b.axe()).To(BeEmpty())
		b.pictures("signin")
		b.signIn("member")
		Expect(b.text()).To(And(ContainSubstring("API keys"), ContainSubstring("max@acme.example"), ContainSubstring("member of acme")))

		b.do(chromedp.Click("a.primary"), chromedp.WaitVisible("form.form"))
		Expect(b.axe()).To(BeEmpty())
		b.pictures("new")
		b.do(chromedp.SendKeys("input[name=name]", "from-page"), chromedp.SendKeys("input[name=description]", `<script>alert(1)</script>"'&`), chromedp.SetValue("select[name=project]", "acme-dev"),
			chromedp.Click(`input[value="projects:read"]`), chromedp.Click("form.form button.primary"), chromedp.WaitVisible("#token"))
		var shown, copied string
		b.do(chromedp.Text("#token", &shown), browserPermission(b), chromedp.Click("[data-copy]"), chromedp.WaitVisible(`//button[text()="Copied"]`, chromedp.BySearch),
			chromedp.Evaluate(`navigator.clipboard.readText()`, &copied, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		Expect(copied).To(Equal(shown))
		Expect(shown).To(MatchRegexp(`^kaana_[0-9A-Za-z]{49}$`))
		Expect(b.axe()).To(BeEmpty())
		b.pictures("created")
		Eventually(func() int { return status(shown) }).Should(Equal(200))
		Expect(get("/api/projects", "Bearer "+shown).Status).To(Equal(200))

		By("sent again, the form makes no second key, and the token that was shown stays")
		b.do(chromedp.Reload(), chromedp.WaitVisible("dl"))
		Expect(b.text()).To(ContainSubstring("from-page"))
		Expect(status(shown)).To(Equal(200))

		By("the token is nowhere afterwards")
		var stored, source string
		b.do(chromedp.Evaluate(`JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, history.state])`, &stored), chromedp.OuterHTML("html", &source))
		Expect(stored + source).NotTo(ContainSubstring(shown[6:49]))
		var alerts []string
		Expect(source).NotTo(ContainSubstring("<script>alert"))
		Expect(alerts).To(BeEmpty())

		By("its activity shows up")
		Eventually(func() string {
			b.do(chromedp.Reload(), chromedp.WaitVisible("dl"))
			return b.text()
		}, "20s", "1s").Should(ContainSubstring("127.0.0.0/24"))
		Expect(b.axe()).To(BeEmpty())
		b.pictures("key")

		By("rotated, suspended, resumed, revoked")
		b.do(chromedp.Click(`//a[text()="Rotate"]`, chromedp.BySearch), chromedp.WaitVisible("form.form"))
		Expect(b.axe()).To(BeEmpty())
		var next string
		b.do(chromedp.Click("form.form button.primary"), chromedp.WaitVisible("#token"), chromedp.Text("#token", &next))
		Eventually(func() int { return status(next) }).Should(Equal(200))
		Expect(status(shown)).To(Equal(200))
		b.open("/settings/api-keys/acme-dev/from-page")
		b.do(chromedp.Click(`//a[text()="Suspend"]`, chromedp.BySearch), chromedp.WaitVisible("form.form"), chromedp.SendKeys("input[name=reason]", "a break"), chromedp.Click("form.form button.primary"), chromedp.WaitVisible("dl"))
		Expect(b.text()).To(And(ContainSubstring("Suspended"), ContainSubstring("a break")))
		Eventually(func() int { return status(next) }).Should(Equal(401))
		b.do(chromedp.Click(`//a[text()="Resume"]`, chromedp.BySearch), chromedp.WaitVisible("form.form"), chromedp.Click("form.form button.primary"), chromedp.WaitVisible("dl"))
		Eventually(func() int { return status(next) }).Should(Equal(200))
		b.do(chromedp.Click(`//a[text()="Revoke"]`, chromedp.BySearch), chromedp.WaitVisible("form.form"))
		Expect(b.text()).To(And(ContainSubstring("for good"), ContainSubstring("Last used")))
		Expect(b.axe()).To(BeEmpty())
		b.pictures("revoke")
		b.do(chromedp.Click("form.form button.danger"), chromedp.WaitVisible("dl"))
		Expect(b.text()).To(ContainSubstring("Revoked"))
		Eventually(func() int { return status(next) }, "1s").Should(Equal(401))
		b.open("/settings/api-keys?q=from-page")
		Expect(b.text()).To(ContainSubstring("from-page"))
		Expect(b.axe()).To(BeEmpty())
		b.pictures("list")
		b.open("/settings/api-keys?q=nothing-like-it")
		Expect(b.text()).To(ContainSubstring("No key matches"))
		Expect(b.axe()).To(BeEmpty())

		By("a session is any replica's, also of one that has just begun")
		op.Server.Kill()
		Eventually(func() int { return get("/readyz").Status }).Should(Equal(200))
		b.open("/settings/api-keys/acme-dev/from-page")
		Expect(b.text()).To(And(ContainSubstring("from-page"), ContainSubstring("As YAML")))
		Expect(b.axe()).To(BeEmpty())

		By("signed out, nothing is shown")
		b.do(chromedp.Click(`//button[text()="Sign out"]`, chromedp.BySearch), chromedp.WaitVisible("main form button.primary"))
		b.open("/settings/api-keys")
		Expect(b.text()).To(ContainSubstring("Sign in to kaana"))
		Expect(*b.problems).To(BeEmpty())
	})

	It("shows an admin the tenant's keys, and a member their own", func(ctx SpecContext) {
		created(jwt(ctx, "globex"), body{"name": "foreign-page", "project": "globex-prod"})
		created(jwt(ctx, "member"), body{"name": "members-page", "project": "acme-dev"})
		b := newBrowser()
		b.signIn("admin")
		b.open("/settings/api-keys?q=-page")
		Expect(b.text()).To(And(ContainSubstring("members-page"), Not(ContainSubstring("foreign-page"))))
		b.open("/settings/api-keys?order=attention&q=-page")
		Expect(b.text()).To(And(ContainSubstring("members-page"), Not(ContainSubstring("foreign-page"))))
		b.open("/settings/api-keys?order=attention&project=acme-prod&state=Active")
		Expect(b.text()).To(And(ContainSubstring("quickstart"), Not(ContainSubstring("members-page"))))
		Expect(b.axe()).To(BeEmpty())
		b.pictures("admin")
		b.open("/settings/api-keys/acme-prod/quickstart")
		Expect(b.text()).To(And(ContainSubstring("Events"), ContainSubstring("Issued")))
		Expect(b.axe()).To(BeEmpty())
		b.pictures("admin-key")
		for _, path := range []string{"/settings/api-keys/globex-prod/foreign-page", "/settings/api-keys/nowhere/foreign-page", "/settings/api-keys?project=globex-prod"} {
			b.open(path)
			Expect(b.text()).To(ContainSubstring("You don't have permission"), path)
		}
		other := newBrowser()
		other.signIn("globex")
		other.open("/settings/api-keys?q=-page")
		Expect(other.text()).To(And(ContainSubstring("foreign-page"), Not(ContainSubstring("members-page"))))
		Expect(*b.problems).To(BeEmpty())
	})

	It("asks for the scopes that it needs, of an issuer that limits people to those of their sign-in", func(SpecContext) {
		b := newBrowser()
		b.signIn("scoped")
		b.open("/settings/api-keys/new")
		b.do(chromedp.SendKeys("input[name=name]", "of-scopes"), chromedp.SetValue("select[name=project]", "acme-dev"), chromedp.Click("form.form button.primary"), chromedp.WaitVisible("#token"))
		var shown string
		b.do(chromedp.Text("#token", &shown))
		Eventually(func() int { return get("/api/projects", "Bearer "+shown).Status }).Should(Equal(200))
		Expect(*b.problems).To(BeEmpty())
	})

	It("shows what people write as they write it, and never runs it", func(ctx SpecContext) {
		const evil = `<svg/onload=alert(1)>"'>{{1}}`
		applyKey(ctx, "evil", fmt.Sprintf(`{description: %q, state: Suspended, stateReason: %q, owner: {id: %q, username: %q}, scopes: [%q], role: viewer}`, evil, evil, "<b>1", "<svg/onload=alert(2)>", "<i>x"))
		b := newBrowser()
		b.signIn("admin")
		for _, path := range []string{"/settings/api-keys?q=evil", "/settings/api-keys?order=attention&q=evil", "/settings/api-keys/acme-dev/evil", "/settings/api-keys/acme-dev/evil/revoke", "/settings/api-keys?q=" + url.QueryEscape(evil),
			"/settings/api-keys/acme-dev/" + url.PathEscape(evil), "/login?next=" + url.QueryEscape(`javascript:alert(1)`), "/login?next=" + url.QueryEscape(`//evil.example/`+evil)} {
			b.open(path)
			var made int
			b.do(chromedp.Evaluate(`document.querySelectorAll("svg[onload], main b, main i").length`, &made))
			Expect(made).To(BeZero(), path)
		}
		b.open("/settings/api-keys/acme-dev/evil")
		Expect(b.text()).To(ContainSubstring(evil))
		Expect(*b.problems).To(BeEmpty())
	})

	It("keeps what was filled in, and says what is wrong with it", func(ctx SpecContext) {
		b := newBrowser()
		b.signIn("member")
		b.open("/settings/api-keys/new")
		b.do(chromedp.SendKeys("input[name=name]", "faulty"), chromedp.SendKeys("input[name=networks]", "10.0.0.0"), chromedp.Click("form.form button.primary"), chromedp.WaitVisible(".fault"))
		var name string
		b.do(chromedp.Value("input[name=name]", &name))
		Expect(name).To(Equal("faulty"))
		Expect(b.text()).To(ContainSubstring("want a network like 10.0.0.0/8"))
		Expect(b.axe()).To(BeEmpty())
	})

	It("takes no form of another site, and no cookie that it has not made", func(ctx SpecContext) {
		r := call("POST", "/settings/api-keys", "", "name=x", "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
		Expect(r.Status).To(Equal(403))
		r = call("GET", "/settings/api-keys", "", nil, "Cookie", "__Host-kaana-session-0=AAAA")
		Expect(r.Raw).To(ContainSubstring("Sign in to kaana"))
		Expect(r.Header.Get("Content-Security-Policy")).To(And(ContainSubstring("default-src 'none'"), ContainSubstring("frame-ancestors 'none'"), Not(ContainSubstring("unsafe"))))
	})
})

// browserPermission lets the page read the clipboard, for the test to look.
func browserPermission(b browser) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		_ = page.Enable().Do(ctx)
		return grantClipboard(ctx, "https://"+b.host())
	})
}

func grantClipboard(ctx context.Context, origin string) error {
	at := cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser)
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		if err := cdpbrowser.SetPermission(&cdpbrowser.PermissionDescriptor{Name: name}, cdpbrowser.PermissionSettingGranted).WithOrigin(origin).Do(at); err != nil {
			return err
		}
	}
	return nil
}
