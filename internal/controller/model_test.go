// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/keyring"
)

// lives is how many random lives a key is led through.
const lives = "25"

// lot decides which, unless -rapid.seed does.
const lot = "20261123"

// given is a token that was in the key's Secret at some time.
type given struct {
	token string
	of    types.UID // the ApiKey
	until time.Time // when it must be refused from; zero: not replaced yet
	dead  bool      // must never be accepted again
}

// model is a key's life as a person would tell it, beside the real one.
type model struct {
	*world
	server *authn.Verifier // with an index of its own
	stop   context.CancelFunc
	given  []*given
	step   int
}

// restartServer starts an index from nothing.
func (m *model) restartServer() {
	if m.stop != nil {
		m.stop()
	}
	ring := keyring.New(0)
	ctx, cancel := context.WithCancel(m.ctx)
	go func() { _ = ring.Watch(ctx, control.Config) }()
	m.server, m.stop = &authn.Verifier{Format: format, Keys: ring, Now: func() time.Time { return m.clock }}, cancel
	Eventually(ring.Ready).Should(BeTrue())
}

// live returns the ApiKey as it is now, nil when there is none.
func (m *model) live() *v1alpha1.ApiKey {
	o := &v1alpha1.ApiKey{}
	if k8s.Get(m.ctx, types.NamespacedName{Namespace: m.namespace, Name: m.name}, o) != nil {
		return nil
	}
	return o
}

// mounted returns the token in the Secret that the ApiKey owns, "" when there is none of ours.
func (m *model) mounted(o *v1alpha1.ApiKey) string {
	s := m.key().secret(kube.SecretName(o))
	if s == nil || !metav1.IsControlledBy(s, o) || !strings.HasPrefix(string(s.Data[kube.SecretKey(o)]), "kaana_") {
		return ""
	}
	return string(s.Data[kube.SecretKey(o)])
}

// note remembers what is mounted now, and what that replaces.
func (m *model) note() {
	o := m.live()
	if o == nil {
		return
	}
	token := m.mounted(o)
	if token == "" || slices.ContainsFunc(m.given, func(g *given) bool { return g.token == token }) {
		return // also when the spec names a former Secret again: that replaces nothing
	}
	for _, g := range m.given {
		if g.until.IsZero() {
			g.until = m.clock.Add(apikey.DefaultOverlap)
		}
	}
	m.given = append(m.given, &given{token: token, of: o.UID})
}

// over reports whether a token must be refused now.
func (m *model) over(g *given, o *v1alpha1.ApiKey) bool {
	switch {
	case g.dead, o == nil, o.UID != g.of, !o.DeletionTimestamp.IsZero(), !g.until.IsZero() && !m.clock.Before(g.until):
		g.dead = true
	case o.Spec.State == v1alpha1.KeyRevoked, o.Spec.ExpiresAt != nil && !o.Spec.ExpiresAt.After(m.clock):
		g.dead = true
	}
	if g.dead {
		m.dead[g.token] = true // the observer too holds it to be over, and wants it to stay so
	}
	return g.dead || o.Spec.State == v1alpha1.KeySuspended
}

// hold checks every token ever given, at the server.
func (m *model) hold(t *rapid.T) {
	m.note()
	o := m.live()
	for i, g := range m.given {
		over, mounted := m.over(g, o), o != nil && m.mounted(o) == g.token
		accepted := func() bool {
			// As a caller that does not wait: whether a token that is over may be new is not asked here.
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Millisecond)
			defer cancel()
			_, denial, err := m.server.Verify(ctx, g.token, netip.Addr{})
			return err == nil && !denial.Denied()
		}
		for deadline := time.Now().Add(5 * time.Second); over && accepted() || mounted && !over && !accepted(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("token %d: over %v, mounted %v, accepted %v", i, over, mounted, accepted())
			}
		}
		if _, denial, _ := m.server.Verify(context.Background(), g.token[:len(g.token)-1]+"~", netip.Addr{}); !denial.Denied() {
			t.Fatalf("token %d is accepted with a typo", i)
		}
	}
	if len(m.problems) > 0 {
		t.Fatal(m.problems)
	}
}

// alter changes the ApiKey, if there is one.
func (m *model) alter(t *rapid.T, change func(*v1alpha1.ApiKey)) {
	if o := m.live(); o == nil || o.Spec.State == v1alpha1.KeyRevoked {
		t.Skip("nothing to change")
	}
	m.key().edit(change)
}

// sometimes lets the controller work, perhaps with a fault on the way.
func (m *model) sometimes(t *rapid.T) {
	switch rapid.IntRange(0, 3).Draw(t, "controller") {
	case 0: // busy elsewhere
	case 1:
		m.at = map[int]fault{m.calls + rapid.IntRange(1, 10).Draw(t, "call"): rapid.SampledFrom(faults).Draw(t, "fault")}
		m.settle()
	default:
		m.settle()
		m.note()
		m.agree(t)
	}
	m.note()
}

// agree checks that the status of the ApiKey, and its state as people see it, say what the server does.
func (m *model) agree(t *rapid.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Millisecond)
	defer cancel()
	verdict := func(o *v1alpha1.ApiKey) bool {
		return slices.ContainsFunc(m.given, func(g *given) bool {
			_, denial, err := m.server.Verify(ctx, g.token, netip.Addr{})
			return g.of == o.UID && err == nil && !denial.Denied()
		})
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		o := m.live()
		if o == nil {
			return
		}
		said, accepted := meta.IsStatusConditionTrue(o.Status.Conditions, v1alpha1.ConditionAccepted), verdict(o)
		if said == accepted && (!accepted || kube.StateOf(o, m.clock) == kube.State(v1alpha1.KeyActive)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Accepted says %v, state %s, the server accepts a token: %v\n%+v", said, kube.StateOf(o, m.clock), accepted,
				o.Status)
		}
	}
}

func (m *model) commands() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"create": func(t *rapid.T) {
			if m.live() != nil {
				t.Skip("exists")
			}
			Eventually(func() *corev1.Secret { return m.key().secret(m.name) }).Should(BeNil())
			newKeyIn(m.ctx, m.namespace, m.name, v1alpha1.ApiKeySpec{Rotation: &v1alpha1.Rotation{Every: &metav1.Duration{Duration: 72 * time.Hour}}}, byHand)
		},
		"edit": func(t *rapid.T) { m.alter(t, func(o *v1alpha1.ApiKey) { o.Spec.Description += "." }) },
		"rename": func(t *rapid.T) {
			m.step++ // a name that was in use before may still hold a token whose overlap has passed
			m.alter(t, func(o *v1alpha1.ApiKey) {
				o.Spec.Secret = &v1alpha1.SecretDelivery{Name: fmt.Sprintf("%s-%d", m.name, m.step)}
			})
		},
		"expire": func(t *rapid.T) {
			end := metav1.NewTime(m.clock.Add(time.Duration(rapid.IntRange(1, 48).Draw(t, "hours")) * time.Hour))
			m.hold(t)
			m.alter(t, func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = &end })
			m.settle() // the one order that docs/concepts.md excepts: an expiry that nobody recorded, moved after it has passed
		},
		"rotate": func(t *rapid.T) {
			m.step++
			m.alter(t, func(o *v1alpha1.ApiKey) {
				o.Annotations = map[string]string{v1alpha1.RotateAnnotation: fmt.Sprint(m.step)}
			})
		},
		"revoke":  func(t *rapid.T) { m.alter(t, func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyRevoked }) },
		"suspend": func(t *rapid.T) { m.alter(t, func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeySuspended }) },
		"resume":  func(t *rapid.T) { m.alter(t, func(o *v1alpha1.ApiKey) { o.Spec.State = v1alpha1.KeyActive }) },
		"delete": func(t *rapid.T) {
			if m.live() == nil {
				t.Skip("nothing to delete")
			}
			Expect(k8s.Delete(m.ctx, m.live())).To(Succeed())
		},
		"delete, held by somebody else's finalizer": func(t *rapid.T) {
			if m.live() == nil {
				t.Skip("nothing to delete")
			}
			m.alter(t, func(o *v1alpha1.ApiKey) { o.Finalizers = []string{"example.com/hold"} })
			Expect(k8s.Delete(m.ctx, m.live())).To(Succeed())
		},
		"let go": func(t *rapid.T) {
			if o := m.live(); o == nil || len(o.Finalizers) == 0 {
				t.Skip("nothing is held")
			}
			m.key().edit(func(o *v1alpha1.ApiKey) { o.Finalizers = nil })
		},
		"delete the Secret": func(t *rapid.T) {
			s := m.key().secret(m.name)
			if s == nil || m.live() == nil { // without its ApiKey the garbage collector is at it
				t.Skip("nothing to delete")
			}
			Expect(k8s.Delete(m.ctx, s)).To(Succeed())
		},
		"tamper with the Secret": func(t *rapid.T) {
			s := m.key().secret(m.name)
			if s == nil || m.live() == nil { // without its ApiKey the garbage collector is at it
				t.Skip("nothing to tamper with")
			}
			s.Data = map[string][]byte{"token": []byte(rapid.SampledFrom([]string{"mine", ""}).Draw(t, "token"))}
			Expect(k8s.Update(m.ctx, s)).To(Succeed())
		},
		"time passes": func(t *rapid.T) {
			m.hold(t)
			m.clock = m.clock.Add(time.Duration(rapid.SampledFrom([]int{1, 23, 25, 73, 24 * 400}).Draw(t, "hours")) * time.Hour)
		},
		"the controller restarts": func(*rapid.T) { m.started = m.clock; m.restart() },
		"the server restarts":     func(*rapid.T) { m.restartServer() },
	}
}

var _ = It("leads a key through any life, and never accepts what is over nor refuses what is mounted", func(ctx SpecContext) {
	settings := map[string]string{"rapid.checks": lives, "rapid.nofailfile": "true"}
	if flag.Lookup("rapid.seed").Value.String() == "0" {
		settings["rapid.seed"] = lot // the same lives in every run; `make test-lives` draws others
	}
	for name, value := range settings {
		Expect(flag.Set(name, value)).To(Succeed())
	}
	namespace, n := newNamespace(ctx), 0
	rapid.Check(GinkgoT(), func(t *rapid.T) {
		n++
		m := &model{world: newWorld(ctx, namespace, fmt.Sprintf("life-%d", n), nil)}
		m.restartServer()
		defer func() { m.stop() }()
		commands := m.commands()
		for name, command := range commands {
			commands[name] = func(t *rapid.T) {
				command(t)
				m.sometimes(t)
			}
		}
		commands[""] = m.hold
		t.Repeat(commands)
		m.clear()
	})
})
