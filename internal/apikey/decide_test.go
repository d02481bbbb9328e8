// SPDX-License-Identifier: Apache-2.0

package apikey_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	. "github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/denial"
)

var (
	now   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	one   = DigestOf("one")
	two   = DigestOf("two")
	three = DigestOf("three")
	four  = DigestOf("four")
)

// imported is a credential of spec.digests that is not recorded.
func imported(d Digest) Credential { return Credential{Digest: d, Phase: Current, Unrecorded: true} }

func active() Key { return Key{State: Active} }

// ready are the conditions of a key with this reason of Ready.
func ready(reason string) Conditions {
	return Conditions{v1alpha1.ConditionReady: {True: true, Reason: reason}}
}

func rotating(p Plan) Condition { return p.Conditions[v1alpha1.ConditionRotating] }

func cred(phase Phase, d Digest, age time.Duration, left ...time.Duration) Credential {
	c := Credential{Digest: d, Phase: phase, IssuedAt: now.Add(-age)}
	if len(left) > 0 {
		c.ValidUntil = now.Add(left[0])
	}
	return c
}

func TestUsable(t *testing.T) {
	current := cred(Current, one, time.Hour)
	for _, c := range []struct {
		name string
		key  Key
		cred Credential
		want denial.Reason
	}{
		{"a current credential of an active key is accepted", active(), current, denial.None},
		{"a pending credential is accepted, because it may be in the Secret", active(), cred(Pending, one, 0), denial.None},
		{"a retiring credential is accepted within its overlap", active(), cred(Retiring, one, time.Hour, time.Second), denial.None},
		{"a retiring credential is refused at the very instant at which its overlap ends", active(), cred(Retiring, one, time.Hour, 0), denial.Retired},
		{"a retired credential is refused whatever its times", active(), cred(Retired, one, time.Hour, time.Hour), denial.Retired},
		{"an imported credential is refused from its validUntil on", active(), cred(Current, one, time.Hour, 0), denial.Retired},
		{"a key is refused from its expiry on", Key{State: Active, ExpiresAt: now}, current, denial.Expired},
		{"a key is accepted the second before its expiry", Key{State: Active, ExpiresAt: now.Add(time.Second)}, current, denial.None},
		{"a suspended key is refused", Key{State: Suspended}, current, denial.Suspended},
		{"a revoked key is refused", Key{State: Revoked}, current, denial.Revoked},
		{"a key of an unknown state is refused", Key{State: 99}, current, denial.Revoked},
		{"a key without a state is refused", Key{}, current, denial.Revoked},
		{"a key that is being deleted is refused", Key{State: Active, Deleted: true}, current, denial.Deleted},
		{"a key that is revoked and expired is refused as revoked", Key{State: Revoked, ExpiresAt: now}, current, denial.Revoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Usable(c.key, c.cred, netip.Addr{}, now); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAKeyIsAcceptedFromItsNetworksOnly(t *testing.T) {
	k := active()
	k.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("2001:db8::/32")}
	for from, want := range map[string]bool{
		"10.0.0.1": true, "10.255.255.255": true, "11.0.0.1": false, "::ffff:10.0.0.1": true, "::ffff:11.0.0.1": false,
		"2001:db8::1": true, "2001:db9::1": false, "2001:db8::1%eth0": true,
	} {
		refusal := Usable(k, cred(Current, one, 0), netip.MustParseAddr(from), now)
		if want != (refusal == denial.None) || !want && refusal != denial.Network {
			t.Errorf("%s: %q", from, refusal)
		}
	}
	if Usable(k, cred(Current, one, 0), netip.Addr{}, now) == denial.None {
		t.Error("accepted from nowhere")
	}
	k.Networks = []netip.Prefix{}
	if Usable(k, cred(Current, one, 0), netip.MustParseAddr("10.0.0.1"), now) == denial.None {
		t.Error("no network at all means any")
	}
}

func TestAKeyIsOverWhenNothingCanMakeItsCredentialsUsableAgain(t *testing.T) {
	for _, k := range []Key{active(), {State: Suspended}, {State: Revoked}, {}, {State: 99}, {State: Active, Deleted: true}, {State: Active, ExpiresAt: now},
		{State: Active, ExpiresAt: now.Add(time.Second)}, {State: Suspended, ExpiresAt: now}} {
		plan := Decide(Input{Key: k, Secret: ObservedSecret{Ownership: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Current, one, time.Hour)}}, now)
		if dead := k.Deleted || plan.Step == Unpublish; dead != k.Over(now) {
			t.Errorf("%+v: over is %v, but its plan is %+v", k, k.Over(now), plan)
		}
	}
}

// refused are the conditions of a key whose Secret the API server refuses.
func refused(generation int64) Conditions {
	return Conditions{v1alpha1.ConditionReady: {Reason: v1alpha1.ReasonSecretRefused},
		v1alpha1.ConditionDelivered: {Reason: v1alpha1.ReasonSecretRefused, Generation: generation}}
}

func TestARefusedSecretIsTriedOnceAMinute(t *testing.T) {
	pending := cred(Pending, one, 20*time.Second)
	s := Input{Key: active(), Generation: 3, Credentials: []Credential{pending}, Conditions: refused(3)}
	if plan := Decide(s, now); plan.Step != Settle || len(plan.Events) != 0 || !plan.WakeAt.Equal(now.Add(40*time.Second)) {
		t.Errorf("too early: %+v", plan)
	}
	if plan := Decide(s, now.Add(40*time.Second)); plan.Step != Mint {
		t.Errorf("after a minute: %+v", plan)
	}
	s.Conditions = refused(2) // the spec has changed since
	if plan := Decide(s, now); plan.Step != Mint {
		t.Errorf("after a change: %+v", plan)
	}
}

func TestARotationThatIsPutOffSaysWhy(t *testing.T) {
	daily, err := Every(DefaultOverlap, "uid")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Input)
		want   string
	}{
		"no policy guards it": {func(s *Input) { s.MissingPolicy = "policy x" }, v1alpha1.ReasonPolicyMissing},
		"the API server refuses the Secret": {func(s *Input) {
			s.SecretFault = "no"
			s.Minted = two
			s.Credentials = append(s.Credentials, cred(Pending, two, 0))
		},
			v1alpha1.ReasonSecretRefused},
		"former tokens are promised their overlap": {func(s *Input) {
			s.Credentials = append(s.Credentials, cred(Retiring, two, time.Hour, time.Hour), cred(Retiring, three, time.Hour, time.Hour), cred(Retiring, four, time.Hour, time.Hour))
		}, v1alpha1.ReasonOverlapping},
	} {
		s := Input{Key: active(), Secret: ObservedSecret{Ownership: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Current, one, 50*time.Hour)},
			Rotation: Rotation{Cadence: daily, Last: now.Add(-50 * time.Hour), Leading: now.Add(-100 * time.Hour)}}
		c.change(&s)
		if plan := Decide(s, now); rotating(plan).True || rotating(plan).Reason != c.want || plan.Step != Settle || plan.Due.IsZero() {
			t.Errorf("%s: %s, %+v, due %v", name, plan.Step, rotating(plan), plan.Due)
		}
	}
}

// outcome is what a case expects of a plan.
type outcome struct {
	step   Step
	ready  string
	phases map[Digest]Phase // of all records
	events []string
	wake   time.Duration // from now; 0: never
	sweep  []string
}

func TestDecide(t *testing.T) {
	daily, err := Every(DefaultOverlap, "uid")
	if err != nil {
		t.Fatal(err)
	}
	// By how much this key's share of the spread is, from the same share of its jitter.
	jitter := DefaultOverlap - daily.After(now).Sub(now)
	spread := time.Duration(float64(jitter) * float64(MaxSpread) / float64(DefaultOverlap/10))
	spread = spread.Truncate(time.Second)
	ours := func(d Digest) ObservedSecret { return ObservedSecret{Ownership: Ours, Digest: d, Exact: true} }
	day := DefaultOverlap
	for _, c := range []struct {
		name string
		in   Input
		want outcome
	}{
		{"a new key gets a token, and no conditions before it is known how that went",
			Input{Key: active()}, outcome{step: Mint}},
		{"a token of a new key that was not delivered is reported",
			Input{Key: active(), Credentials: []Credential{cred(Pending, one, time.Second)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Pending}}},
		{"a recorded token in hand is published",
			Input{Key: active(), Minted: one, Credentials: []Credential{cred(Pending, one, 0)}},
			outcome{step: Publish, phases: map[Digest]Phase{one: Pending}}},
		{"a published token becomes current",
			Input{Key: active(), Minted: one, Secret: ours(one), Credentials: []Credential{cred(Pending, one, 0)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonIssued}}},
		{"a published token becomes current after a crash too",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Pending, one, time.Hour)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonIssued}}},
		{"a key in sync is left alone",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, time.Hour)}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		{"a pending token whose plaintext is lost is replaced, and stays accepted until the next is delivered",
			Input{Key: active(), Credentials: []Credential{cred(Pending, one, time.Second)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Pending}}},
		{"delivering the next drops the lost one",
			Input{Key: active(), Minted: two, Secret: ours(two), Credentials: []Credential{cred(Pending, one, time.Second), cred(Pending, two, 0)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{two: Current}, events: []string{v1alpha1.ReasonIssued}}},
		{"a deleted Secret is reissued",
			Input{Key: active(), Credentials: []Credential{cred(Current, one, time.Hour)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonReissued}}},
		{"after a deleted Secret is reissued the old token keeps its overlap",
			Input{Key: active(), Overlap: day, Minted: two, Secret: ours(two), Credentials: []Credential{cred(Current, one, time.Hour), cred(Pending, two, 0)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Retiring, two: Current}, events: []string{v1alpha1.ReasonRotated}, wake: day}},
		{"a Secret that holds an unknown token is reissued",
			Input{Key: active(), Secret: ObservedSecret{Ownership: Ours}, Credentials: []Credential{cred(Current, one, time.Hour)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonReissued}}},
		{"a Secret that holds a retiring token is reissued",
			Input{Key: active(), Secret: ours(two), Credentials: []Credential{cred(Current, one, time.Hour), cred(Retiring, two, time.Hour, time.Minute)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Current, two: Retiring}, events: []string{v1alpha1.ReasonReissued}}},
		{"a Secret that holds the token but was changed otherwise is written again with the same",
			Input{Key: active(), Secret: ObservedSecret{Ownership: Ours, Digest: one}, Credentials: []Credential{cred(Current, one, time.Hour)}},
			outcome{step: Redeliver, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonRepaired}}},
		{"a retiring token whose overlap has passed is retired",
			Input{Key: active(), Secret: ours(one), Conditions: ready(v1alpha1.ReasonIssued), Credentials: []Credential{cred(Current, one, 0), cred(Retiring, two, day, 0)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current, two: Retired}, events: []string{v1alpha1.ReasonRetired}}},
		{"with four records the oldest retired one makes room",
			Input{Key: active(), Credentials: []Credential{cred(Current, one, 0), cred(Retired, two, day), cred(Retired, three, day+1), cred(Retiring, four, day+2, day)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Current, two: Retired, four: Retiring}, events: []string{v1alpha1.ReasonReissued}}},
		{"without a retired record a lost pending one makes room",
			Input{Key: active(), Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, PublishWindow), cred(Pending, three, 0), cred(Retiring, four, day, day)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Current, three: Pending, four: Retiring}, events: []string{v1alpha1.ReasonReissued}}},
		{"without either the oldest retiring one makes room",
			Input{Key: active(), Credentials: []Credential{cred(Current, one, 0), cred(Retiring, two, 2*day, day), cred(Retiring, three, day, day), cred(Pending, four, 0)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Current, three: Retiring, four: Pending}, events: []string{v1alpha1.ReasonReissued}}},
		{"when all others may still be published, minting waits",
			Input{Key: active(), Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, 0), cred(Pending, three, time.Second), cred(Pending, four, 0)}},
			outcome{ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Current, two: Pending, three: Pending, four: Pending}, wake: PublishWindow - time.Second}},
		{"a rotation that was not finished is taken up again",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, time.Hour), cred(Pending, two, time.Second)}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{step: Mint, ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current, two: Pending}}},
		{"a key on schedule wakes for its rotation",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 0)}, Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Cadence: daily, Last: now}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}, wake: daily.After(now).Sub(now)}},
		{"a key on schedule rotates when it is due",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, day)}, Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Cadence: daily, Last: now.Add(-day)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		{"a token that a rotation published becomes current, and the previous one keeps its overlap",
			Input{Key: active(), Overlap: time.Hour, Secret: ours(two), Credentials: []Credential{cred(Current, one, day), cred(Pending, two, 0)}, Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Cadence: daily, Last: now.Add(-day)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Retiring, two: Current}, events: []string{v1alpha1.ReasonRotated}, wake: time.Hour}},
		{"a rotation that was overdue when the controller began is spread out",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 400*day)}, Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Cadence: daily, Last: now.Add(-400 * day), Leading: now}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}, wake: spread}},
		{"a rotation that was spread out starts at its time",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 400*day)}, Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Cadence: daily, Last: now.Add(-400 * day), Leading: now.Add(-spread)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		{"a rotation on schedule waits rather than cut an overlap short",
			Input{Key: active(), Secret: ours(one), Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Cadence: daily, Last: now.Add(-day)},
				Credentials: []Credential{cred(Current, one, day), cred(Retiring, two, day, 2*time.Hour), cred(Retiring, three, day, time.Hour), cred(Retiring, four, day, 3*time.Hour)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current, two: Retiring, three: Retiring, four: Retiring}, wake: time.Hour}},
		{"a rotation on request does not wait for an overlap",
			Input{Key: active(), Secret: ours(one), Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Requested: "now"},
				Credentials: []Credential{cred(Current, one, day), cred(Retiring, two, 2*day, 2*time.Hour), cred(Retiring, three, day, time.Hour), cred(Retiring, four, day, 3*time.Hour)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current, three: Retiring, four: Retiring}}},
		{"a request that is done is not done again",
			Input{Key: active(), Secret: ours(one), Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Requested: "now", Handled: "now"}, Credentials: []Credential{cred(Current, one, day)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		{"a rotation that cannot be read costs nothing but the rotation",
			Input{Key: active(), Secret: ours(one), Conditions: ready(v1alpha1.ReasonIssued), Rotation: Rotation{Fault: "schedule"}, Credentials: []Credential{cred(Current, one, day)}},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonInvalidRotation}}},
		{"a suspended key does not rotate",
			Input{Key: Key{State: Suspended}, Secret: ours(one), Conditions: ready(v1alpha1.ReasonSuspended), Rotation: Rotation{Cadence: daily, Last: now.Add(-day), Requested: "now"}, Credentials: []Credential{cred(Current, one, day)}},
			outcome{ready: v1alpha1.ReasonSuspended, phases: map[Digest]Phase{one: Current}}},
		{"an imported key reports that its rotation is due",
			Input{Key: active(), Imported: true, Conditions: ready(v1alpha1.ReasonAccepted), Rotation: Rotation{Cadence: daily, Last: now.Add(-day)}},
			outcome{ready: v1alpha1.ReasonAccepted, events: []string{v1alpha1.ReasonRotationDue}}},
		{"nothing is minted while the policies are missing",
			Input{Key: active(), MissingPolicy: "policy x"},
			outcome{ready: v1alpha1.ReasonPolicyMissing, events: []string{v1alpha1.ReasonPolicyMissing}, wake: RetryInterval}},
		{"a delivered token stays as it is while the policies are missing",
			Input{Key: active(), MissingPolicy: "policy x", Secret: ours(one), Credentials: []Credential{cred(Current, one, 0)}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		{"an imported key wakes for its rotation",
			Input{Key: active(), Imported: true, Conditions: ready(v1alpha1.ReasonAccepted), Rotation: Rotation{Cadence: daily, Last: now}},
			outcome{ready: v1alpha1.ReasonAccepted, wake: daily.After(now).Sub(now)}},
		{"a foreign Secret is never touched",
			Input{Key: active(), Secret: ObservedSecret{Ownership: Foreign}},
			outcome{ready: v1alpha1.ReasonSecretConflict, events: []string{v1alpha1.ReasonSecretConflict}, wake: RetryInterval}},
		{"a foreign Secret is reported once",
			Input{Key: active(), Secret: ObservedSecret{Ownership: Foreign}, Conditions: ready(v1alpha1.ReasonSecretConflict)},
			outcome{ready: v1alpha1.ReasonSecretConflict, wake: RetryInterval}},
		{"a Secret that an older key names is left to it",
			Input{Key: active(), Rival: "older"},
			outcome{ready: v1alpha1.ReasonSecretConflict, events: []string{v1alpha1.ReasonSecretConflict}, wake: RetryInterval}},
		{"a Secret that is there already is kept against an older key",
			Input{Key: active(), Rival: "older", Secret: ours(one), Credentials: []Credential{cred(Current, one, 0)}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		{"revoking retires every credential and deletes the Secret",
			Input{Key: Key{State: Revoked}, Secret: ours(one), Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, 0), cred(Retiring, three, 0, day)}},
			outcome{step: Unpublish, ready: v1alpha1.ReasonRevoked, phases: map[Digest]Phase{one: Retired, two: Retired, three: Retired}, events: []string{v1alpha1.ReasonRevoked}}},
		{"a revoked key stays as it is",
			Input{Key: Key{State: Revoked}, Credentials: []Credential{cred(Retired, one, day, -time.Hour)}, Conditions: ready(v1alpha1.ReasonRevoked)},
			outcome{ready: v1alpha1.ReasonRevoked, phases: map[Digest]Phase{one: Retired}}},
		{"a foreign Secret is not deleted by revoking",
			Input{Key: Key{State: Revoked}, Secret: ObservedSecret{Ownership: Foreign}},
			outcome{ready: v1alpha1.ReasonRevoked, events: []string{v1alpha1.ReasonRevoked}}},
		{"expiry retires every credential and deletes the Secret",
			Input{Key: Key{State: Active, ExpiresAt: now}, Secret: ours(one), Credentials: []Credential{cred(Current, one, day, 0)}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{step: Unpublish, ready: v1alpha1.ReasonExpired, phases: map[Digest]Phase{one: Retired}, events: []string{v1alpha1.ReasonExpired}}},
		{"a key wakes for its expiry",
			Input{Key: Key{State: Active, ExpiresAt: now.Add(time.Hour)}, Secret: ours(one), Credentials: []Credential{cred(Current, one, 0, time.Hour)}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}, wake: time.Hour}},
		{"a credential that ran out with its key stays dead when the expiry is moved",
			Input{Key: Key{State: Active, ExpiresAt: now.Add(day)}, Secret: ours(one), Credentials: []Credential{cred(Current, one, day, -time.Second)}},
			outcome{step: Mint, ready: v1alpha1.ReasonIssuing, phases: map[Digest]Phase{one: Retired}}},
		{"suspending deletes nothing",
			Input{Key: Key{State: Suspended}, Secret: ours(one), Credentials: []Credential{cred(Current, one, 0), cred(Retiring, two, 0, day)}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{ready: v1alpha1.ReasonSuspended, phases: map[Digest]Phase{one: Current, two: Retiring}, events: []string{v1alpha1.ReasonSuspended}, wake: day}},
		{"nothing is minted while suspended",
			Input{Key: Key{State: Suspended}, Credentials: []Credential{cred(Current, one, 0)}, Conditions: ready(v1alpha1.ReasonSuspended)},
			outcome{ready: v1alpha1.ReasonSuspended, phases: map[Digest]Phase{one: Current}}},
		{"a rotation that was published before the suspension is completed",
			Input{Key: Key{State: Suspended}, Overlap: day, Secret: ours(two), Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, 0)}, Conditions: ready(v1alpha1.ReasonSuspended)},
			outcome{ready: v1alpha1.ReasonSuspended, phases: map[Digest]Phase{one: Retiring, two: Current}, events: []string{v1alpha1.ReasonRotated}, wake: day}},
		{"resuming is reported",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 0)}, Conditions: ready(v1alpha1.ReasonSuspended)},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonResumed}}},
		{"a key with imported digests delivers nothing",
			Input{Key: active(), Imported: true},
			outcome{ready: v1alpha1.ReasonAccepted, events: []string{v1alpha1.ReasonAccepted}}},
		{"an imported digest is recorded, which claims it",
			Input{Key: active(), Imported: true, Digests: []Credential{imported(one)}},
			outcome{ready: v1alpha1.ReasonAccepted, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonAccepted}}},
		{"a digest of another key is reported, and not claimed",
			Input{Key: active(), Imported: true, Digests: []Credential{imported(one), imported(two)}, Disputed: []Digest{one}},
			outcome{ready: v1alpha1.ReasonDigestConflict, phases: map[Digest]Phase{two: Current}, events: []string{v1alpha1.ReasonDigestConflict}}},
		{"a claim that was recorded stays on record though another key has a better one",
			Input{Key: active(), Imported: true, Digests: []Credential{cred(Current, one, 0)}, Credentials: []Credential{cred(Current, one, 0)}, Disputed: []Digest{one}},
			outcome{ready: v1alpha1.ReasonDigestConflict, phases: map[Digest]Phase{one: Current}, events: []string{v1alpha1.ReasonDigestConflict}}},
		{"a key that is revoked before its digests are recorded claims them, so that no other key revives them",
			Input{Key: Key{State: Revoked}, Imported: true, Digests: []Credential{imported(one)}},
			outcome{ready: v1alpha1.ReasonRevoked, phases: map[Digest]Phase{one: Retired}, events: []string{v1alpha1.ReasonRevoked}}},
		{"an imported key is suspended",
			Input{Key: Key{State: Suspended}, Imported: true},
			outcome{ready: v1alpha1.ReasonSuspended, events: []string{v1alpha1.ReasonSuspended}}},
		{"an imported key is revoked without a Secret to delete",
			Input{Key: Key{State: Revoked}, Imported: true},
			outcome{ready: v1alpha1.ReasonRevoked, events: []string{v1alpha1.ReasonRevoked}}},
		{"a key that is being deleted is left to the garbage collector",
			Input{Key: Key{State: Active, Deleted: true}, Credentials: []Credential{cred(Current, one, 0)}},
			outcome{ready: v1alpha1.ReasonDeleting, phases: map[Digest]Phase{one: Current}}},
		{"an orphaned Secret is deleted when its token no longer works",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 0), cred(Retired, two, day)}, Orphaned: []OrphanedSecret{{"old", two.ID()}}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current, two: Retired}, sweep: []string{"old"}}},
		{"an orphaned Secret is kept while its token works",
			Input{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 0), cred(Retiring, two, day, time.Hour)}, Orphaned: []OrphanedSecret{{"old", two.ID()}}, Conditions: ready(v1alpha1.ReasonIssued)},
			outcome{ready: v1alpha1.ReasonIssued, phases: map[Digest]Phase{one: Current, two: Retiring}, wake: time.Hour}},
		{"revoking deletes orphaned Secrets too",
			Input{Key: Key{State: Revoked}, Orphaned: []OrphanedSecret{{"old", two.ID()}}, Conditions: ready(v1alpha1.ReasonRevoked)},
			outcome{ready: v1alpha1.ReasonRevoked, sweep: []string{"old"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.in.Overlap == 0 {
				c.in.Overlap = DefaultOverlap
			}
			before := slices.Clone(c.in.Credentials)
			check(t, Decide(c.in, now), c.want)
			if !slices.Equal(before, c.in.Credentials) {
				t.Error("Decide changed its input")
			}
		})
	}
}

func check(t *testing.T, plan Plan, want outcome) {
	t.Helper()
	if plan.Step != want.step {
		t.Errorf("%s, want %s", plan.Step, want.step)
	}
	if got := plan.Conditions[v1alpha1.ConditionReady].Reason; got != want.ready {
		t.Errorf("ready: %q, want %q", got, want.ready)
	}
	phases := map[Digest]Phase{}
	for _, c := range plan.Credentials {
		phases[c.Digest] = c.Phase
	}
	for d, phase := range want.phases {
		if got, ok := phases[d]; !ok || got != phase {
			t.Errorf("credential %s: %s (recorded: %v), want %s", d.ID(), got, ok, phase)
		}
	}
	if len(phases) != len(want.phases) {
		t.Errorf("%d records, want %d", len(phases), len(want.phases))
	}
	var events []string
	for _, n := range plan.Events {
		events = append(events, n.Reason)
	}
	if !slices.Equal(events, want.events) {
		t.Errorf("events %v, want %v", events, want.events)
	}
	var wake time.Duration
	if !plan.WakeAt.IsZero() {
		wake = plan.WakeAt.Sub(now)
	}
	if wake != want.wake {
		t.Errorf("wakes in %v, want %v", wake, want.wake)
	}
	if !slices.Equal(plan.Sweep, want.sweep) {
		t.Errorf("sweeps %v, want %v", plan.Sweep, want.sweep)
	}
}

func TestConsumersAreNotifiedOfEachNewTokenButTheFirst(t *testing.T) {
	const kind = v1alpha1.ConditionConsumersNotified
	in := Input{Key: active(), Overlap: DefaultOverlap, Consumers: Consumers{Wanted: true},
		Secret: ObservedSecret{Ownership: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Pending, one, 0)}}
	first := Decide(in, now)
	if first.Step != Settle || first.Notified != one.ID() || !first.Conditions[kind].True {
		t.Errorf("the first token: %s, notified %q, %v", first.Step, first.Notified, first.Conditions[kind])
	}
	in.Credentials, in.Consumers.Notified, in.Secret.Digest, in.Conditions = slices.Concat(first.Credentials, []Credential{cred(Pending, two, 0)}), first.Notified, two, first.Conditions
	rotated := Decide(in, now)
	if rotated.Step != Notify || rotated.Notified != one.ID() {
		t.Errorf("a rotation: %s, notified %q", rotated.Step, rotated.Notified)
	}
	in.Credentials = rotated.Credentials
	if again := Decide(in, now); again.Step != Notify {
		t.Errorf("a crash before they were notified: %s", again.Step)
	}
	in.Consumers.Fault = "forbidden"
	failed := Decide(in, now)
	if failed.Step != Settle || failed.Conditions[kind].Reason != v1alpha1.ReasonNotifyFailed || failed.Notified != one.ID() ||
		!failed.WakeAt.Equal(now.Add(RetryInterval)) || !failed.Conditions[v1alpha1.ConditionReady].True || len(failed.Events) != 1 {
		t.Errorf("a consumer that could not be notified: %+v", failed)
	}
	in.Conditions, in.Consumers.Fault = failed.Conditions, "forbidden, in other words"
	if quiet := Decide(in, now); len(quiet.Events) != 0 || quiet.Conditions[kind] != failed.Conditions[kind] {
		t.Errorf("the same fault is reported twice: %v", quiet.Events)
	}
	in.Consumers = Consumers{Wanted: true, Notified: two.ID()}
	if done := Decide(in, now); done.Step != Settle || !done.Conditions[kind].True {
		t.Errorf("all consumers were notified: %s, %v", done.Step, done.Conditions[kind])
	}
	in.Consumers = Consumers{Notified: one.ID()}
	if none := Decide(in, now); none.Step != Settle || none.Notified != two.ID() || none.Conditions[kind].Reason != "" {
		t.Errorf("no consumers: %s, notified %q", none.Step, none.Notified)
	}
}

func TestAFaultyTemplateCostsNoDelivery(t *testing.T) {
	in := Input{Key: active(), Secret: ObservedSecret{Ownership: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Current, one, 0)}, TemplateFault: "labels[x]: bad"}
	plan := Decide(in, now)
	delivered := plan.Conditions[v1alpha1.ConditionDelivered]
	if !plan.Conditions[v1alpha1.ConditionReady].True || delivered.True || delivered.Reason != v1alpha1.ReasonInvalidTemplate || len(plan.Events) != 1 {
		t.Errorf("%+v", plan)
	}
	in.Conditions = plan.Conditions
	if plan := Decide(in, now); len(plan.Events) != 0 {
		t.Errorf("reported twice: %v", plan.Events)
	}
}

func TestAcceptedAgreesWithTheVerdict(t *testing.T) {
	current := []Credential{cred(Current, one, time.Hour)}
	ended := []Credential{cred(Current, one, time.Hour, -time.Second)}
	for _, c := range []struct {
		name string
		in   Input
		want string
	}{
		{"a delivered token works", Input{Key: active(), Credentials: current, Secret: ObservedSecret{Ownership: Ours, Digest: one, Exact: true}}, v1alpha1.ReasonAccepted},
		{"a token works while a foreign Secret has its name", Input{Key: active(), Credentials: current, Secret: ObservedSecret{Ownership: Foreign}}, v1alpha1.ReasonAccepted},
		{"no token of a key that may not have one works", Input{Key: active(), MissingPolicy: "a policy"}, v1alpha1.ReasonNoToken},
		{"no token of a suspended key works", Input{Key: Key{State: Suspended}, Credentials: current}, v1alpha1.ReasonSuspended},
		{"no token of a revoked key works", Input{Key: Key{State: Revoked}, Credentials: current}, v1alpha1.ReasonRevoked},
		{"no token of an expired key works", Input{Key: Key{State: Active, ExpiresAt: now}, Credentials: current}, v1alpha1.ReasonExpired},
		{"no token of a key that is being deleted works", Input{Key: Key{State: Active, Deleted: true}, Credentials: current}, v1alpha1.ReasonDeleting},
		{"an imported token works", Input{Key: active(), Imported: true, Digests: current}, v1alpha1.ReasonAccepted},
		{"an imported token that has ended does not", Input{Key: active(), Imported: true, Digests: ended}, v1alpha1.ReasonNoToken},
		{"an imported token that belongs to another key does not", Input{Key: active(), Imported: true, Digests: current, Credentials: current, Disputed: []Digest{one}}, v1alpha1.ReasonNoToken},
		{"a suspended key whose digests belong to another is suspended", Input{Key: Key{State: Suspended}, Imported: true, Digests: []Credential{imported(one)}, Disputed: []Digest{one}}, v1alpha1.ReasonSuspended},
		{"networks do not change whether a token works at all", Input{Key: Key{State: Active, Networks: []netip.Prefix{}}, Imported: true, Digests: current}, v1alpha1.ReasonAccepted},
	} {
		plan := Decide(c.in, now)
		if got := plan.Conditions[v1alpha1.ConditionAccepted]; got.Reason != c.want || got.True != (c.want == v1alpha1.ReasonAccepted) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestTokensThatEndTogetherAreNamedInOneEvent(t *testing.T) {
	in := Input{Key: active(), Secret: ObservedSecret{Ownership: Ours, Digest: one, Exact: true}, Credentials: []Credential{
		cred(Current, one, 0), cred(Retiring, two, time.Hour, -time.Second), cred(Retiring, three, time.Hour, -time.Minute)}}
	events := Decide(in, now).Events
	if len(events) != 1 || !strings.Contains(events[0].Message, two.ID()) || !strings.Contains(events[0].Message, three.ID()) {
		t.Errorf("%v", events)
	}
}

func TestTheFirstTokenOfAKeyIsReportedOnceItIsDelivered(t *testing.T) {
	minted := Input{Key: active(), Generation: 1}
	plan := minted.WithMinted(Decide(minted, now), cred(Pending, one, 0), now)
	if len(plan.Conditions) != 0 || len(plan.Credentials) != 1 {
		t.Errorf("minted: %+v", plan)
	}
	minted.Minted, minted.Credentials, minted.Conditions = one, plan.Credentials, plan.Conditions
	if plan := Decide(minted, now); plan.Step != Publish || len(plan.Conditions) != 0 {
		t.Errorf("published: %+v", plan)
	}
	minted.SecretFault = "quota"
	if plan := Decide(minted, now); plan.Conditions[v1alpha1.ConditionDelivered].Reason != v1alpha1.ReasonSecretRefused {
		t.Errorf("refused: %+v", plan)
	}
}

func TestADowntimeDoesNotChangeWhenARotationIsDue(t *testing.T) {
	daily, err := Every(DefaultOverlap, "uid")
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Key: active(), Secret: ObservedSecret{Ownership: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Current, one, 50*time.Hour)},
		Rotation: Rotation{Cadence: daily, Last: now.Add(-50 * time.Hour), Leading: now}}
	due := daily.After(now.Add(-50 * time.Hour))
	if plan := Decide(in, now); !plan.Due.Equal(due) || rotating(plan).Reason != v1alpha1.ReasonDue || !rotating(plan).True {
		t.Errorf("due %v, want %v; %+v", plan.Due, due, rotating(plan))
	}
	imported := in
	imported.Imported, imported.Digests = true, in.Credentials
	if plan := Decide(imported, now); !plan.Due.Equal(due) || !plan.Conditions[v1alpha1.ConditionRotationDue].True {
		t.Errorf("imported: due %v, want %v; %+v", plan.Due, due, plan.Conditions)
	}
	in.Credentials, in.Secret.Digest = append(in.Credentials, cred(Pending, two, 0)), two
	if plan := Decide(in, now); plan.Lag != now.Sub(due) {
		t.Errorf("the rotation counts as %v late, want %v", plan.Lag, now.Sub(due))
	}
}

func TestARetiringCredentialNeverOutlivesItsKey(t *testing.T) {
	end := now.Add(time.Hour)
	plan := Decide(Input{Key: Key{State: Active, ExpiresAt: end}, Overlap: DefaultOverlap, Minted: two,
		Secret: ObservedSecret{Ownership: Ours, Digest: two, Exact: true}, Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, 0)}}, now)
	for _, c := range plan.Credentials {
		if !c.ValidUntil.Equal(end) {
			t.Errorf("%s credential until %v, want %v", c.Phase, c.ValidUntil, end)
		}
	}
}

func TestTheFirstRecordedClaimPrecedesThenAgeThenUID(t *testing.T) {
	old, young := now.Add(-time.Hour), now
	ordered := []Claim{{false, old, young, "b"}, {false, young, old, "a"}, {false, young, young, "a"}, {false, young, young, "b"},
		{true, young, old, "a"}, {true, old, young, "a"}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.Precedes(b); got != (i < j) {
				t.Errorf("%v precedes %v: %v", a, b, got)
			}
		}
	}
}

func TestADoubtedClockEndsNothing(t *testing.T) {
	daily, err := Every(DefaultOverlap, "uid")
	if err != nil {
		t.Fatal(err)
	}
	base := Input{
		ClockDoubted: true, Key: active(), Overlap: time.Hour, SecretName: "s", Secret: ObservedSecret{Ours, one, true},
		Credentials: []Credential{cred(Current, one, 48*time.Hour), cred(Retiring, two, 49*time.Hour, -time.Minute)},
		Conditions:  ready(v1alpha1.ReasonIssued),
	}
	plan := Decide(base, now)
	if plan.Credentials[1].Phase != Retiring || !plan.Conditions[v1alpha1.ConditionAccepted].True {
		t.Errorf("a credential was retired: %+v", plan)
	}
	if plan.WakeAt != now.Add(RetryInterval) {
		t.Errorf("wakes at %v", plan.WakeAt)
	}

	due := base
	due.Rotation = Rotation{Cadence: daily, Last: now.Add(-48 * time.Hour)}
	if plan = Decide(due, now); plan.Step != Settle || rotating(plan).Reason != v1alpha1.ReasonClockDoubted {
		t.Errorf("a rotation on schedule does not wait: %+v", plan)
	}
	due.Rotation.Requested = "now"
	if plan = Decide(due, now); plan.Step != Mint {
		t.Errorf("a rotation that a person asks for waits: %+v", plan)
	}

	for _, state := range []State{Active, Suspended} {
		over := base
		over.Key.State, over.Key.ExpiresAt = state, now.Add(-time.Hour)
		plan = Decide(over, now)
		if plan.Step != Settle || !slices.Equal(plan.Credentials, over.Credentials) || len(plan.Events) > 0 || plan.WakeAt.IsZero() {
			t.Errorf("an expired key was ended: %+v", plan)
		}
		over.ClockDoubted = false
		if Decide(over, now).Step != Unpublish {
			t.Error("an expired key was not ended")
		}
	}
	revoked := base
	revoked.Key.State, revoked.Key.ExpiresAt = Revoked, now.Add(-time.Hour)
	if Decide(revoked, now).Step != Unpublish {
		t.Error("a revoked key was not ended")
	}
}

// TestARequestThatComesBackIsNotRepeated is a request in Git that a person replaces, and that Git then puts back.
func TestARequestThatComesBackIsNotRepeated(t *testing.T) {
	in := Input{Key: active(), Overlap: time.Hour, SecretName: "s", Secret: ObservedSecret{Ours, one, true},
		Credentials: []Credential{cred(Current, one, time.Hour)}, Conditions: ready(v1alpha1.ReasonIssued)}
	for i, step := range []struct {
		request string
		rotates bool
	}{
		{"git", true}, {"git", false}, {"person 1", true}, {"git", false}, {"person 2", true}, {"git", false}, {"git", false},
		{"", false}, {"git", false}, {"git 2", true}, {"person 2", true}, // forgotten by now: two are remembered
	} {
		in.Rotation.Requested = step.request
		plan := Decide(in, now)
		if (plan.Step == Mint) != step.rotates {
			t.Fatalf("%d. %q: %v", i, step.request, plan.Step)
		}
		in.Rotation.Handled, in.Rotation.Earlier = plan.Handled, plan.Earlier
	}
}
