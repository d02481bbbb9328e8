// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/denial"
)

func TestHelp(t *testing.T) {
	s := &session{t: t}
	s.run("the plugin", nil, "", "--help")
	for _, name := range []string{"create", "list", "describe", "rotate", "suspend", "resume", "revoke", "activity",
		"history", "verify", "explain", "import"} {
		s.run(name, nil, "", name, "--help")
	}
	s.golden("help")
}

// keysInEveryState are keys that a list shows.
func keysInEveryState(t *testing.T) []client.Object {
	other := delivered("elsewhere", mint(t, 9))
	other.Namespace = "globex"
	fresh := delivered("fresh", mint(t, 7), func(o *v1alpha1.ApiKey) { o.Status = v1alpha1.ApiKeyStatus{} })
	return []client.Object{other, fresh,
		delivered("billing", mint(t, 1), func(o *v1alpha1.ApiKey) {
			o.Spec.Description, o.Spec.Scopes = "the monthly invoices", []v1alpha1.Scope{"invoices:read", "invoices:write"}
			o.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8"}
			o.Spec.Owner = &v1alpha1.Owner{ID: "7", Username: "you@example.com"}
			o.Spec.Rotation = &v1alpha1.Rotation{Every: &metav1.Duration{Duration: 720 * time.Hour}}
			o.Spec.ExpiresAt = at(90 * 24 * time.Hour)
			o.Annotations = map[string]string{v1alpha1.RequestedByAnnotation: "alice"}
			o.Status.NextRotationTime, o.Status.LastUsedTime = at(28*24*time.Hour), at(-3*time.Hour)
			previous := apikey.DigestOf(mint(t, 8))
			o.Status.Credentials = append(o.Status.Credentials, v1alpha1.Credential{ID: previous.ID(),
				SHA256: previous.String(), Hint: "…abcd", Phase: v1alpha1.CredentialRetiring,
				IssuedAt: *at(-72 * time.Hour), ValidUntil: at(5 * time.Hour)})
			setCondition(o, v1alpha1.ConditionDelivered, true, v1alpha1.ReasonIssued)
		}),
		delivered("conflict", mint(t, 2), func(o *v1alpha1.ApiKey) {
			setCondition(o, v1alpha1.ConditionReady, false, v1alpha1.ReasonSecretConflict)
			setCondition(o, v1alpha1.ConditionAccepted, false, v1alpha1.ReasonNoToken)
		}),
		delivered("paused", mint(t, 3), func(o *v1alpha1.ApiKey) {
			o.Spec.State, o.Spec.StateReason = v1alpha1.KeySuspended, "on holiday"
			setCondition(o, v1alpha1.ConditionReady, true, v1alpha1.ReasonSuspended)
			setCondition(o, v1alpha1.ConditionAccepted, false, v1alpha1.ReasonSuspended)
		}),
		delivered("gone", mint(t, 4), func(o *v1alpha1.ApiKey) {
			o.Spec.State = v1alpha1.KeyRevoked
			o.Status.Credentials[0].Phase = v1alpha1.CredentialRetired
			setCondition(o, v1alpha1.ConditionReady, true, v1alpha1.ReasonRevoked)
			setCondition(o, v1alpha1.ConditionAccepted, false, v1alpha1.ReasonRevoked)
		}),
		imported("laptop", mint(t, 5)),
		&eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "acme-dev", Name: "rotated"}, Reason: v1alpha1.ReasonRotated,
			Type: corev1.EventTypeNormal, Note: "Credential 0123456789 is in Secret billing.",
			EventTime: metav1.NewMicroTime(clock.Add(-10 * time.Minute)), Regarding: corev1.ObjectReference{UID: "billing"}},
		&eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "acme-dev", Name: "missing"},
			Reason: v1alpha1.ReasonConsumerMissing, Type: corev1.EventTypeWarning, Note: "Deployment web does not exist.",
			EventTime: metav1.NewMicroTime(clock.Add(-9 * time.Minute)), Regarding: corev1.ObjectReference{UID: "billing"}},
	}
}

func TestListAndDescribe(t *testing.T) {
	k8s := world(t, keysInEveryState(t)...)
	s := &session{t: t}
	s.run("keys in every state", k8s, "", "list")
	s.run("of all Namespaces", k8s, "", "list", "-A")
	s.run("of one state", k8s, "", "list", "--state=Suspended", "-o", "name")
	s.run("of one owner", k8s, "", "list", "--owner=you@example.com", "-o", "yaml")
	s.run("none", k8s, "", "list", "--owner=none@example.com")
	s.golden("list")
	s = &session{t: t}
	s.run("a key with everything", k8s, "", "describe", "billing")
	s.run("an imported key", k8s, "", "describe", "laptop")
	s.run("a suspended key", k8s, "", "describe", "paused")
	s.run("a revoked key", k8s, "", "describe", "gone")
	s.run("a key that the controller has not seen", k8s, "", "describe", "fresh")
	s.run("what the cluster knows of its use", k8s, "", "activity", "apikey.auth.kaana.com/billing")
	s.run("what the cluster knows of its changes", k8s, "", "history", "billing")
	s.golden("describe")
}

func TestCreateAndChange(t *testing.T) {
	s, k8s := &session{t: t}, world(t, keysInEveryState(t)...)
	s.run("without a cluster", k8s, "", "create", "web", "--role=viewer", "--scope=projects:read", "--every=30d",
		"--overlap=1h", "--expires=90d", "--cidr=10.0.0.0/8", "--restart=Deployment/web", "--refresh-pods",
		"--owner=you@example.com", "--owner-id=7", "--secret=web-token", "--dry-run=client", "-o", "yaml")
	s.run("the smallest", k8s, "", "create", "web", "--dry-run=client", "-o", "yaml")
	s.run("delivered to a Secret", k8s, "", "create", "web", "--secret=web-token", "--secret-key=key")
	s.run("rotated", k8s, "", "rotate", "billing")
	s.run("rotated while suspended", k8s, "", "rotate", "paused")
	s.run("suspended", k8s, "", "suspend", "billing", "--reason=on holiday")
	s.run("resumed", k8s, "", "resume", "apikey.auth.kaana.com/billing")
	s.run("revoked, one of them mistyped", k8s, "", "revoke", "bilingl", "billing")
	s.run("created and shown once", k8s, "", "create", "tool", "--show-once")
	s.run("rotated and shown once", k8s, "", "rotate", "laptop", "--show-once", "--overlap=1h")
	s.run("waiting without a controller", k8s, "", "create", "late", "--wait", "--timeout=10ms")
	shown := s.text.String()
	s.text.Reset()
	s.text.WriteString(strings.ReplaceAll(shown, mint(t, 9), "<the token>"))
	s.golden("change")
}

func TestVerify(t *testing.T) {
	k8s := world(t, keysInEveryState(t)...)
	s := &session{t: t}
	s.run("accepted", k8s, mint(t, 5), "verify")
	s.run("accepted, as JSON", k8s, mint(t, 1), "verify", "--from=10.1.2.3", "-o", "json")
	s.run("refused", k8s, mint(t, 3), "verify")
	s.run("refused, as JSON", k8s, mint(t, 3), "verify", "-o", "json")
	s.run("unknown", k8s, mint(t, 99), "verify")
	s.run("a role that it lacks", k8s, mint(t, 5), "verify", "--role=admin")
	s.run("a JWT", k8s, compactJWT(`{"exp":2000000000}`), "verify")
	s.golden("verify")
}

// serverOnly are the reasons that depend on the request or on an issuer, which only the server sees.
var serverOnly = []denial.Reason{denial.Undecided, denial.Missing, denial.Scheme, denial.Ambiguous, denial.Spoofed, denial.Tenant,
	denial.Issuer, denial.Algorithm, denial.Key, denial.Signature, denial.Audience, denial.NotYetValid, denial.Claims}

func TestExplainNamesEveryReason(t *testing.T) {
	token := mint(t, 1)
	with := func(change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey { return delivered("billing", token, change...) }
	state := func(state v1alpha1.KeyState, why string) func(*v1alpha1.ApiKey) {
		return func(o *v1alpha1.ApiKey) { o.Spec.State, o.Spec.StateReason = state, why }
	}
	networks := func(o *v1alpha1.ApiKey) { o.Spec.AllowedCIDRs = []v1alpha1.CIDR{"10.0.0.0/8", "192.0.2.0/24"} }
	phase := func(phase v1alpha1.CredentialPhase, until time.Duration) func(*v1alpha1.ApiKey) {
		return func(o *v1alpha1.ApiKey) {
			o.Status.Credentials[0].Phase, o.Status.Credentials[0].ValidUntil = phase, at(until)
		}
	}
	ended := imported("laptop", token)
	ended.Spec.Digests[0].ValidUntil = at(-time.Hour)
	jwt := compactJWT(`{"iss":"https://id.example.com","aud":"keys","sub":"7","exp":2000000000}`)
	s, covered := &session{t: t}, map[denial.Reason]bool{}
	for _, c := range []struct {
		title string
		want  denial.Reason
		key   *v1alpha1.ApiKey
		token string
		args  []string
	}{
		{"accepted", denial.None, with(networks), token, []string{"--from=10.1.2.3", "--role=viewer", "--scope=a"}},
		{"a previous token", denial.None, with(phase(v1alpha1.CredentialRetiring, time.Hour)), token, nil},
		{"an imported token", denial.None, imported("laptop", "legacy-0123456789abcdef"), "legacy-0123456789abcdef", nil},
		{"an imported token in the form of a JWT", denial.None, imported("laptop", jwt), jwt, nil},
		{"incomplete", denial.Malformed, with(), token[:30], nil},
		{"too long", denial.Malformed, with(), strings.Repeat("x", apikey.MaxTokenBytes+1), nil},
		{"unknown", denial.Unknown, with(), "a-token-of-another-system", nil},
		{"deleted", denial.Deleted, with(func(o *v1alpha1.ApiKey) {
			o.DeletionTimestamp, o.Finalizers = at(-time.Minute), []string{"example.com/hold"}
		}), token, nil},
		{"suspended", denial.Suspended, with(state(v1alpha1.KeySuspended, "on holiday")), token, nil},
		{"revoked", denial.Revoked, with(state(v1alpha1.KeyRevoked, "leaked")), token, nil},
		{"expired", denial.Expired, with(func(o *v1alpha1.ApiKey) { o.Spec.ExpiresAt = at(-time.Hour) }), token, nil},
		{"retired", denial.Retired, with(phase(v1alpha1.CredentialRetired, -time.Hour)), token, nil},
		{"retired, imported", denial.Retired, ended, token, nil},
		{"from an unknown network", denial.Network, with(networks), token, nil},
		{"from another network", denial.Network, with(networks), token, []string{"--from=203.0.113.9"}},
		{"reserved", denial.Reserved, with(func(o *v1alpha1.ApiKey) {
			o.Spec.Owner = &v1alpha1.Owner{ID: "system:admin", Username: "admin"}
		}), token, nil},
		{"role", denial.Role, with(), token, []string{"--role=admin"}},
		{"scope", denial.Scope, with(func(o *v1alpha1.ApiKey) { o.Spec.Scopes = []v1alpha1.Scope{"a", "b"} }), token,
			[]string{"--scope=a", "--scope=c"}},
		{"a JWT without an expiry", denial.NoExpiry, with(), compactJWT(`{"iss":"https://id.example.com"}`), nil},
		{"an expired JWT", denial.Expired, with(), compactJWT(`{"exp":1700000000}`), nil},
		{"a damaged JWT", denial.Malformed, with(), "eyJhbGciOiJSUzI1NiJ9.!.c2ln", nil},
		{"an encrypted JWT", denial.Unknown, with(), "eyJhbGciOiJkaXIifQ..aXY.dGV4dA.dGFn", nil},
	} {
		covered[c.want] = true
		code := s.run(c.title, world(t, c.key), c.token, append([]string{"explain"}, c.args...)...)
		if (code == exitRefused) != (c.want != denial.None) {
			t.Errorf("%s: exit code %d", c.title, code)
		}
		refused := strings.HasSuffix(s.text.String(), "error: refused: "+c.want.String()+"\nexit code 3\n\n")
		if c.want != denial.None && !refused {
			t.Errorf("%s: the reason is not %s", c.title, c.want)
		}
	}
	s.run("a JWT that only the server can verify", world(t), jwt, "explain")
	s.run("without permission to list all Namespaces", namespaced(world(t, with())), token, "explain")
	s.golden("explain")
	for _, r := range serverOnly {
		covered[r] = true
	}
	for r := range denial.Reason(denial.Count) {
		if !covered[r] {
			t.Errorf("no case explains the reason %q", r)
		}
	}
}

// namespaced is a cluster of which only single Namespaces may be listed.
func namespaced(k8s client.WithWatch) client.Client {
	list := func(ctx context.Context, c client.WithWatch, l client.ObjectList, options ...client.ListOption) error {
		if (&client.ListOptions{}).ApplyOptions(options).Namespace == "" {
			resource := v1alpha1.GroupVersion.WithResource("apikeys").GroupResource()
			return apierrors.NewForbidden(resource, "", errors.New("not allowed"))
		}
		return c.List(ctx, l, options...)
	}
	return interceptor.NewClient(k8s, interceptor.Funcs{List: list})
}

func TestErrors(t *testing.T) {
	k8s := world(t, append(keysInEveryState(t), delivered("old", mint(t, 6), func(o *v1alpha1.ApiKey) {
		o.Spec.ExpiresAt = at(-time.Hour)
	}))...)
	s := &session{t: t}
	for _, line := range []string{"bogus", "create", "create x --every=soon", "create x --expires=never",
		"create x --owner=a", "create x --role=boss", "create x --overlap=1h", "create x --restart=web",
		"create x --show-once --secret=y", "create x --show-once --dry-run=client", "create x --dry-run=perhaps",
		"create x --timeout=1s", "create x --unknown", "create billing", "list -o wide", "list --state=Gone",
		"list -l a=b=c", "describe missing", "rotate a b --show-once", "rotate billing --overlap=1h",
		"rotate billing --show-once", "rotate laptop", "rotate gone", "rotate old", "rotate paused --wait",
		"rotate laptop --show-once --overlap=soon", "revoke", "verify", "verify --from=here", "verify --role=boss",
		"verify -o yaml", "verify a-token-in-an-argument", "activity billing -o json",
		"import --digests --tokens", "import --digests --dry-run=perhaps", "import --concurrency=99", "import --digests",
		"--token-prefix=Wrong_ list"} {
		if s.run("", k8s, "", strings.Fields(line)...) == 0 {
			t.Errorf("%s succeeds", line)
		}
	}
	s.run("lines that are wrong", k8s, "secret-one\nsecret-two", "import", "--tokens")
	s.run("no server", k8s, mint(t, 1), "verify", "--server-url=http://keys.example.com")
	s.golden("errors")
}

func TestImport(t *testing.T) {
	s, k8s := &session{t: t}, world(t)
	input := "# old tokens\n" + secretText + "\n" + secretText + "\n" + secretText + "2\n"
	s.run("checked here", k8s, input, "import", "--tokens", "--dry-run=client")
	s.run("imported", k8s, input, "import", "--tokens")
	s.run("imported again", k8s, input, "import", "--tokens")
	s.run("a name that another token has", k8s, "token,name\n"+secretText+"3,imported-"+
		apikey.DigestOf(secretText).String()[:20]+"\n", "import")
	s.run("the result", k8s, "", "list")
	s.golden("import")
}

func TestWaitGoals(t *testing.T) {
	base := func(change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
		return delivered("billing", secretText, change...)
	}
	condition := func(kind string, is bool, reason string) func(*v1alpha1.ApiKey) {
		return func(o *v1alpha1.ApiKey) { setCondition(o, kind, is, reason) }
	}
	handled := func(o *v1alpha1.ApiKey) { o.Status.LastHandledRotateRequest = "now" }
	pending := func(o *v1alpha1.ApiKey) {
		o.Status.Credentials = append(o.Status.Credentials, v1alpha1.Credential{Phase: v1alpha1.CredentialPending})
	}
	revoked := condition(v1alpha1.ConditionReady, true, v1alpha1.ReasonRevoked)
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = "acme-dev", "billing"
	secret.OwnerReferences = []metav1.OwnerReference{{UID: types.UID("billing")}}
	gone := secretDeleted(t.Context(), world(t), inForce(v1alpha1.ReasonRevoked))
	there := secretDeleted(t.Context(), world(t, secret), inForce(v1alpha1.ReasonRevoked))
	for name, c := range map[string]struct {
		goal    goal
		key     *v1alpha1.ApiKey
		missing string // the start of it
	}{
		"a key whose token works is usable": {usable, base(), ""},
		"a change that the controller has not seen": {usable, base(func(o *v1alpha1.ApiKey) { o.Generation = 2 }),
			unobserved},
		"a suspended key is in force but not usable": {usable, base(
			condition(v1alpha1.ConditionReady, true, v1alpha1.ReasonSuspended),
			condition(v1alpha1.ConditionAccepted, false, v1alpha1.ReasonSuspended)), "Accepted is False (Suspended)"},
		"a key in conflict is not in force": {usable, base(
			condition(v1alpha1.ConditionReady, false, v1alpha1.ReasonSecretConflict)), "Ready is False (SecretConflict)"},
		"a suspension that is in force": {inForce(v1alpha1.ReasonSuspended), base(
			condition(v1alpha1.ConditionReady, true, v1alpha1.ReasonSuspended)), ""},
		"a suspension while the key is still issued": {inForce(v1alpha1.ReasonSuspended), base(),
			"Ready is True (Issued)"},
		"a rotation that is not handled": {rotated("now"), base(), unobserved},
		"a rotation that is blocked": {rotated("now"), base(
			condition(v1alpha1.ConditionReady, false, v1alpha1.ReasonPolicyMissing)), "Ready is False (PolicyMissing)"},
		"a rotation whose token is not delivered": {rotated("now"), base(handled, pending),
			"the new token is not delivered yet"},
		"a rotation that is done":              {rotated("now"), base(handled), ""},
		"a revocation whose Secret is deleted": {gone, base(revoked), ""},
		"a revocation whose Secret is there":   {there, base(revoked), "Secret billing is not deleted yet"},
		"a revocation that is under way": {gone, base(condition(v1alpha1.ConditionReady, false, v1alpha1.ReasonRevoked)),
			"Ready is False (Revoked)"},
	} {
		got := c.goal(c.key)
		if c.missing == "" && got != "" || !strings.HasPrefix(got, c.missing) {
			t.Errorf("%s: missing %q, want %q", name, got, c.missing)
		}
	}
}
