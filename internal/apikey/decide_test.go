// SPDX-License-Identifier: Apache-2.0

package apikey_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	. "github.com/kaana/apikey-operator/internal/apikey"
)

var (
	now   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	one   = DigestOf("one")
	two   = DigestOf("two")
	three = DigestOf("three")
	four  = DigestOf("four")
)

func active() Key { return Key{Switch: Active} }

func cred(phase Phase, d Digest, age time.Duration, left ...time.Duration) Credential {
	c := Credential{Digest: d, Phase: phase, IssuedAt: now.Add(-age)}
	if len(left) > 0 {
		c.ValidUntil = now.Add(left[0])
	}
	return c
}

func TestUsable(t *testing.T) {
	current := cred(Current, one, time.Hour)
	for name, c := range map[string]struct {
		key  Key
		cred Credential
		want Denial
	}{
		"a current credential of an active key is accepted":  {active(), current, NotDenied},
		"a pending one too, because it may be in the Secret": {active(), cred(Pending, one, 0), NotDenied},
		"a retiring one is accepted within its overlap":      {active(), cred(Retiring, one, time.Hour, time.Second), NotDenied},
		"and refused at the very instant at which it ends":   {active(), cred(Retiring, one, time.Hour, 0), CredentialRetired},
		"a retired one is refused whatever its times":        {active(), cred(Retired, one, time.Hour, time.Hour), CredentialRetired},
		"an imported one is refused from its validUntil on":  {active(), cred(Current, one, time.Hour, 0), CredentialRetired},
		"a key is refused from its expiry on":                {Key{Switch: Active, ExpiresAt: now}, current, KeyExpired},
		"and accepted the second before":                     {Key{Switch: Active, ExpiresAt: now.Add(time.Second)}, current, NotDenied},
		"a suspended key is refused":                         {Key{Switch: Suspended}, current, KeySuspended},
		"a revoked key is refused":                           {Key{Switch: Revoked}, current, KeyRevoked},
		"a key of a state nobody knows is refused":           {Key{Switch: 99}, current, KeyRevoked},
		"a key without a state is refused":                   {Key{}, current, KeyRevoked},
		"a key that is being deleted is refused":             {Key{Switch: Active, Deleted: true}, current, KeyDeleted},
		"revoked is said before expired":                     {Key{Switch: Revoked, ExpiresAt: now}, current, KeyRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Usable(c.key, c.cred, netip.Addr{}, now)
			if got != c.want || ok != (c.want == NotDenied) {
				t.Errorf("got %q, %v; want %q", got, ok, c.want)
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
		if denial, ok := Usable(k, cred(Current, one, 0), netip.MustParseAddr(from), now); ok != want || ok == (denial == WrongNetwork) {
			t.Errorf("%s: %q, %v", from, denial, ok)
		}
	}
	if _, ok := Usable(k, cred(Current, one, 0), netip.Addr{}, now); ok {
		t.Error("accepted from nowhere")
	}
	k.Networks = []netip.Prefix{}
	if _, ok := Usable(k, cred(Current, one, 0), netip.MustParseAddr("10.0.0.1"), now); ok {
		t.Error("no network at all means any")
	}
}

func TestAKeyIsOverWhenNothingCanMakeItsCredentialsUsableAgain(t *testing.T) {
	for _, k := range []Key{active(), {Switch: Suspended}, {Switch: Revoked}, {}, {Switch: 99}, {Switch: Active, Deleted: true}, {Switch: Active, ExpiresAt: now},
		{Switch: Active, ExpiresAt: now.Add(time.Second)}, {Switch: Suspended, ExpiresAt: now}} {
		plan := Decide(State{Key: k, Secret: Seen{Holding: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Current, one, time.Hour)}}, now)
		if dead := k.Deleted || plan.Step == Unpublish; dead != k.Over(now) {
			t.Errorf("%+v: over is %v, but its plan is %+v", k, k.Over(now), plan)
		}
	}
}

func TestASecretThatWasNotReadIsReadUnlessItIsReplacedAnyway(t *testing.T) {
	unread := Seen{Holding: Ours, Digest: one, Unread: true}
	current := []Credential{cred(Current, one, time.Hour)}
	for name, c := range map[string]struct {
		change func(*State)
		want   Step
	}{
		"nothing is due":                    {func(*State) {}, Read},
		"a rotation is asked for":           {func(s *State) { s.Rotation.Requested = "now" }, Mint},
		"but its label names another token": {func(s *State) { s.Rotation.Requested, s.Secret.Digest = "now", Digest{} }, Read},
		"but a token may be in it that was not promoted": {func(s *State) {
			s.Rotation.Requested, s.Credentials = "now", []Credential{current[0], cred(Pending, two, 0)}
		}, Read},
		"the next token is in hand":                             {func(s *State) { s.Held, s.Credentials = two, []Credential{current[0], cred(Pending, two, 0)} }, Publish},
		"a rotation is asked for of a suspended key":            {func(s *State) { s.Rotation.Requested, s.Key.Switch = "now", Suspended }, Read},
		"the key is revoked, and what it holds does not matter": {func(s *State) { s.Key.Switch = Revoked }, Unpublish},
	} {
		s := State{Key: active(), Secret: unread, Credentials: slices.Clone(current)}
		c.change(&s)
		if plan := Decide(s, now); plan.Step != c.want {
			t.Errorf("%s: step %d, want %d", name, plan.Step, c.want)
		}
	}
}

func TestARefusedSecretIsTriedOnceAMinute(t *testing.T) {
	pending := cred(Pending, one, 20*time.Second)
	s := State{Key: active(), Credentials: []Credential{pending}, Refused: Fault{Recorded: true}}
	if plan := Decide(s, now); plan.Step != Settle || plan.Ready.Reason != "" || !plan.WakeAt.Equal(now.Add(40*time.Second)) {
		t.Errorf("too early: %+v", plan)
	}
	if plan := Decide(s, now.Add(40*time.Second)); plan.Step != Mint {
		t.Errorf("after a minute: %+v", plan)
	}
	s.Refused.Recorded = false // the spec has changed since
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
		change func(*State)
		want   Reason
	}{
		"no policy guards it": {func(s *State) { s.Unguarded = "policy x" }, ReasonPolicyMissing},
		"the API server refuses the Secret": {func(s *State) {
			s.Refused.Text = "no"
			s.Held = two
			s.Credentials = append(s.Credentials, cred(Pending, two, 0))
		},
			ReasonSecretRefused},
		"former tokens are promised their overlap": {func(s *State) {
			s.Credentials = append(s.Credentials, cred(Retiring, two, time.Hour, time.Hour), cred(Retiring, three, time.Hour, time.Hour), cred(Retiring, four, time.Hour, time.Hour))
		}, ReasonOverlapping},
	} {
		s := State{Key: active(), Secret: Seen{Holding: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Current, one, 50*time.Hour)},
			Rotation: Rotation{Cadence: daily, Last: now.Add(-50 * time.Hour), Started: now.Add(-100 * time.Hour)}}
		c.change(&s)
		if plan := Decide(s, now); plan.Rotating.True || plan.Rotating.Reason != c.want || plan.Step != Settle || plan.Next.IsZero() {
			t.Errorf("%s: step %d, %+v, next %v", name, plan.Step, plan.Rotating, plan.Next)
		}
	}
}

// outcome is what a case expects of a plan.
type outcome struct {
	step   Step
	ready  Reason
	phases map[Digest]Phase // of all records
	events []Reason
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
	ours := func(d Digest) Seen { return Seen{Holding: Ours, Digest: d, Exact: true} }
	day := DefaultOverlap
	for name, c := range map[string]struct {
		state State
		want  outcome
	}{
		"a new key gets a token": {
			State{Key: active()}, outcome{step: Mint}},
		"a recorded token in hand is published": {
			State{Key: active(), Held: one, Credentials: []Credential{cred(Pending, one, 0)}},
			outcome{step: Publish, phases: map[Digest]Phase{one: Pending}}},
		"a published token becomes current": {
			State{Key: active(), Held: one, Secret: ours(one), Credentials: []Credential{cred(Pending, one, 0)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}, events: []Reason{ReasonIssued}}},
		"so does one whose controller crashed after publishing it": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Pending, one, time.Hour)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}, events: []Reason{ReasonIssued}}},
		"a key in sync is left alone": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, time.Hour)}, LastReason: ReasonIssued},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		"a pending token whose plaintext is lost is replaced, and stays accepted until the next is delivered": {
			State{Key: active(), Credentials: []Credential{cred(Pending, one, time.Second)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Pending}}},
		"delivering the next drops the lost one": {
			State{Key: active(), Held: two, Secret: ours(two), Credentials: []Credential{cred(Pending, one, time.Second), cred(Pending, two, 0)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{two: Current}, events: []Reason{ReasonIssued}}},
		"a deleted Secret is reissued": {
			State{Key: active(), Credentials: []Credential{cred(Current, one, time.Hour)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current}, events: []Reason{ReasonReissued}}},
		"and the old token keeps its overlap": {
			State{Key: active(), Overlap: day, Held: two, Secret: ours(two), Credentials: []Credential{cred(Current, one, time.Hour), cred(Pending, two, 0)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Retiring, two: Current}, events: []Reason{ReasonRotated}, wake: day}},
		"a Secret that holds an unknown token is reissued": {
			State{Key: active(), Secret: Seen{Holding: Ours}, Credentials: []Credential{cred(Current, one, time.Hour)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current}, events: []Reason{ReasonReissued}}},
		"so is one that holds a token on its way out": {
			State{Key: active(), Secret: ours(two), Credentials: []Credential{cred(Current, one, time.Hour), cred(Retiring, two, time.Hour, time.Minute)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current, two: Retiring}, events: []Reason{ReasonReissued}}},
		"a Secret that holds the token but was changed otherwise is written again with the same": {
			State{Key: active(), Secret: Seen{Holding: Ours, Digest: one}, Credentials: []Credential{cred(Current, one, time.Hour)}},
			outcome{step: Redeliver, phases: map[Digest]Phase{one: Current}, events: []Reason{ReasonRepaired}}},
		"a retiring token whose overlap has passed is retired": {
			State{Key: active(), Secret: ours(one), LastReason: ReasonIssued, Credentials: []Credential{cred(Current, one, 0), cred(Retiring, two, day, 0)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current, two: Retired}, events: []Reason{ReasonRetired}}},
		"with four records the oldest retired one makes room": {
			State{Key: active(), Credentials: []Credential{cred(Current, one, 0), cred(Retired, two, day), cred(Retired, three, day+1), cred(Retiring, four, day+2, day)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current, two: Retired, four: Retiring}, events: []Reason{ReasonReissued}}},
		"else a lost pending one": {
			State{Key: active(), Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, PublishWindow), cred(Pending, three, 0), cred(Retiring, four, day, day)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current, three: Pending, four: Retiring}, events: []Reason{ReasonReissued}}},
		"else the oldest retiring one": {
			State{Key: active(), Credentials: []Credential{cred(Current, one, 0), cred(Retiring, two, 2*day, day), cred(Retiring, three, day, day), cred(Pending, four, 0)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current, three: Retiring, four: Pending}, events: []Reason{ReasonReissued}}},
		"when all others may still be published, minting waits": {
			State{Key: active(), Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, 0), cred(Pending, three, time.Second), cred(Pending, four, 0)}},
			outcome{ready: ReasonIssuing, phases: map[Digest]Phase{one: Current, two: Pending, three: Pending, four: Pending}, wake: PublishWindow - time.Second}},
		"a rotation that was not finished is taken up again": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, time.Hour), cred(Pending, two, time.Second)}, LastReason: ReasonIssued},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current, two: Pending}}},
		"a key on schedule wakes for its rotation": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 0)}, LastReason: ReasonIssued, Rotation: Rotation{Cadence: daily, Last: now}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}, wake: daily.After(now).Sub(now)}},
		"and rotates when it is due": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, day)}, LastReason: ReasonIssued, Rotation: Rotation{Cadence: daily, Last: now.Add(-day)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current}}},
		"a token that was published by a rotation becomes current, the former keeps its overlap": {
			State{Key: active(), Overlap: time.Hour, Secret: ours(two), Credentials: []Credential{cred(Current, one, day), cred(Pending, two, 0)}, LastReason: ReasonIssued, Rotation: Rotation{Cadence: daily, Last: now.Add(-day)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Retiring, two: Current}, events: []Reason{ReasonRotated}, wake: time.Hour}},
		"what was overdue when the controller started is spread out": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 400*day)}, LastReason: ReasonIssued, Rotation: Rotation{Cadence: daily, Last: now.Add(-400 * day), Started: now}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}, wake: spread}},
		"and comes once": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 400*day)}, LastReason: ReasonIssued, Rotation: Rotation{Cadence: daily, Last: now.Add(-400 * day), Started: now.Add(-spread)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current}}},
		"a rotation on schedule waits rather than cut an overlap short": {
			State{Key: active(), Secret: ours(one), LastReason: ReasonIssued, Rotation: Rotation{Cadence: daily, Last: now.Add(-day)},
				Credentials: []Credential{cred(Current, one, day), cred(Retiring, two, day, 2*time.Hour), cred(Retiring, three, day, time.Hour), cred(Retiring, four, day, 3*time.Hour)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current, two: Retiring, three: Retiring, four: Retiring}, wake: time.Hour}},
		"one that a person asks for does not wait": {
			State{Key: active(), Secret: ours(one), LastReason: ReasonIssued, Rotation: Rotation{Requested: "now"},
				Credentials: []Credential{cred(Current, one, day), cred(Retiring, two, 2*day, 2*time.Hour), cred(Retiring, three, day, time.Hour), cred(Retiring, four, day, 3*time.Hour)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Current, three: Retiring, four: Retiring}}},
		"a request that is done is not done again": {
			State{Key: active(), Secret: ours(one), LastReason: ReasonIssued, Rotation: Rotation{Requested: "now", Handled: "now"}, Credentials: []Credential{cred(Current, one, day)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		"a rotation that cannot be read costs nothing but the rotation": {
			State{Key: active(), Secret: ours(one), LastReason: ReasonIssued, Rotation: Rotation{Fault: "schedule"}, Credentials: []Credential{cred(Current, one, day)}},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}, events: []Reason{ReasonInvalidRotation}}},
		"a suspended key does not rotate": {
			State{Key: Key{Switch: Suspended}, Secret: ours(one), LastReason: ReasonSuspended, Rotation: Rotation{Cadence: daily, Last: now.Add(-day), Requested: "now"}, Credentials: []Credential{cred(Current, one, day)}},
			outcome{ready: ReasonSuspended, phases: map[Digest]Phase{one: Current}}},
		"an imported key reminds of its rotation": {
			State{Key: active(), Imported: true, LastReason: ReasonAccepted, Rotation: Rotation{Cadence: daily, Last: now.Add(-day)}},
			outcome{ready: ReasonAccepted, events: []Reason{ReasonRotationDue}}},
		"nothing is minted while the policies are missing": {
			State{Key: active(), Unguarded: "policy x"},
			outcome{ready: ReasonPolicyMissing, events: []Reason{ReasonPolicyMissing}, wake: ConflictRetry}},
		"and what is delivered stays as it is": {
			State{Key: active(), Unguarded: "policy x", Secret: ours(one), Credentials: []Credential{cred(Current, one, 0)}, LastReason: ReasonIssued},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		"in time": {
			State{Key: active(), Imported: true, LastReason: ReasonAccepted, Rotation: Rotation{Cadence: daily, Last: now}},
			outcome{ready: ReasonAccepted, wake: daily.After(now).Sub(now)}},
		"a foreign Secret is never touched": {
			State{Key: active(), Secret: Seen{Holding: Foreign}},
			outcome{ready: ReasonSecretConflict, events: []Reason{ReasonSecretConflict}, wake: ConflictRetry}},
		"and told of once": {
			State{Key: active(), Secret: Seen{Holding: Foreign}, LastReason: ReasonSecretConflict},
			outcome{ready: ReasonSecretConflict, wake: ConflictRetry}},
		"a Secret that an older key names is left to it": {
			State{Key: active(), Rival: "older"},
			outcome{ready: ReasonSecretConflict, events: []Reason{ReasonSecretConflict}, wake: ConflictRetry}},
		"a Secret that is there already is kept against an older key": {
			State{Key: active(), Rival: "older", Secret: ours(one), Credentials: []Credential{cred(Current, one, 0)}, LastReason: ReasonIssued},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}}},
		"revoking retires every credential and deletes the Secret": {
			State{Key: Key{Switch: Revoked}, Secret: ours(one), Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, 0), cred(Retiring, three, 0, day)}},
			outcome{step: Unpublish, ready: ReasonRevoked, phases: map[Digest]Phase{one: Retired, two: Retired, three: Retired}, events: []Reason{ReasonRevoked}}},
		"a revoked key stays as it is": {
			State{Key: Key{Switch: Revoked}, Credentials: []Credential{cred(Retired, one, day, -time.Hour)}, LastReason: ReasonRevoked},
			outcome{ready: ReasonRevoked, phases: map[Digest]Phase{one: Retired}}},
		"a foreign Secret is not deleted by revoking": {
			State{Key: Key{Switch: Revoked}, Secret: Seen{Holding: Foreign}},
			outcome{ready: ReasonRevoked, events: []Reason{ReasonRevoked}}},
		"an expired key is buried likewise": {
			State{Key: Key{Switch: Active, ExpiresAt: now}, Secret: ours(one), Credentials: []Credential{cred(Current, one, day, 0)}, LastReason: ReasonIssued},
			outcome{step: Unpublish, ready: ReasonExpired, phases: map[Digest]Phase{one: Retired}, events: []Reason{ReasonExpired}}},
		"a key wakes for its expiry": {
			State{Key: Key{Switch: Active, ExpiresAt: now.Add(time.Hour)}, Secret: ours(one), Credentials: []Credential{cred(Current, one, 0, time.Hour)}, LastReason: ReasonIssued},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}, wake: time.Hour}},
		"a credential that ran out with its key stays dead when the expiry is moved": {
			State{Key: Key{Switch: Active, ExpiresAt: now.Add(day)}, Secret: ours(one), Credentials: []Credential{cred(Current, one, day, -time.Second)}},
			outcome{step: Mint, phases: map[Digest]Phase{one: Retired}}},
		"suspending deletes nothing": {
			State{Key: Key{Switch: Suspended}, Secret: ours(one), Credentials: []Credential{cred(Current, one, 0), cred(Retiring, two, 0, day)}, LastReason: ReasonIssued},
			outcome{ready: ReasonSuspended, phases: map[Digest]Phase{one: Current, two: Retiring}, events: []Reason{ReasonSuspended}, wake: day}},
		"nothing is minted while suspended": {
			State{Key: Key{Switch: Suspended}, Credentials: []Credential{cred(Current, one, 0)}, LastReason: ReasonSuspended},
			outcome{ready: ReasonSuspended, phases: map[Digest]Phase{one: Current}}},
		"but what was published before is completed": {
			State{Key: Key{Switch: Suspended}, Overlap: day, Secret: ours(two), Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, 0)}, LastReason: ReasonSuspended},
			outcome{ready: ReasonSuspended, phases: map[Digest]Phase{one: Retiring, two: Current}, wake: day}},
		"resuming is told of": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 0)}, LastReason: ReasonSuspended},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current}, events: []Reason{ReasonResumed}}},
		"a key with imported digests delivers nothing": {
			State{Key: active(), Imported: true},
			outcome{ready: ReasonAccepted, events: []Reason{ReasonAccepted}}},
		"a disputed digest is a condition and is looked at again": {
			State{Key: active(), Imported: true, Disputed: "0123456789"},
			outcome{ready: ReasonDigestConflict, events: []Reason{ReasonDigestConflict}, wake: ConflictRetry}},
		"imported keys suspend": {
			State{Key: Key{Switch: Suspended}, Imported: true},
			outcome{ready: ReasonSuspended, events: []Reason{ReasonSuspended}}},
		"imported keys are revoked without a Secret to delete": {
			State{Key: Key{Switch: Revoked}, Imported: true},
			outcome{ready: ReasonRevoked, events: []Reason{ReasonRevoked}}},
		"a key that is being deleted is left to the garbage collector": {
			State{Key: Key{Switch: Active, Deleted: true}, Credentials: []Credential{cred(Current, one, 0)}},
			outcome{phases: map[Digest]Phase{one: Current}}},
		"a former Secret is swept when its token is dead": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 0), cred(Retired, two, day)}, Strays: []Stray{{"old", two.ID()}}, LastReason: ReasonIssued},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current, two: Retired}, sweep: []string{"old"}}},
		"and kept while its token lives": {
			State{Key: active(), Secret: ours(one), Credentials: []Credential{cred(Current, one, 0), cred(Retiring, two, day, time.Hour)}, Strays: []Stray{{"old", two.ID()}}, LastReason: ReasonIssued},
			outcome{ready: ReasonIssued, phases: map[Digest]Phase{one: Current, two: Retiring}, wake: time.Hour}},
		"revoking sweeps former Secrets too": {
			State{Key: Key{Switch: Revoked}, Strays: []Stray{{"old", two.ID()}}, LastReason: ReasonRevoked},
			outcome{ready: ReasonRevoked, sweep: []string{"old"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.state.Overlap == 0 {
				c.state.Overlap = DefaultOverlap
			}
			before := slices.Clone(c.state.Credentials)
			check(t, Decide(c.state, now), c.want)
			if !slices.Equal(before, c.state.Credentials) {
				t.Error("Decide changed its input")
			}
		})
	}
}

func check(t *testing.T, plan Plan, want outcome) {
	t.Helper()
	if plan.Step != want.step {
		t.Errorf("step %d, want %d", plan.Step, want.step)
	}
	if plan.Ready.Reason != want.ready {
		t.Errorf("ready: %q, want %q", plan.Ready.Reason, want.ready)
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
	var events []Reason
	for _, n := range plan.Notices {
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

func TestConsumersAreToldOfEachNewTokenButTheFirst(t *testing.T) {
	asked := Consumers{Asked: true}
	s := State{Key: active(), Overlap: DefaultOverlap, Consumers: asked, Secret: Seen{Holding: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Pending, one, 0)}}
	first := Decide(s, now)
	if first.Step != Settle || first.Told != one.ID() || !first.Consumers.True {
		t.Errorf("the first token: step %d, told %q, %v", first.Step, first.Told, first.Consumers)
	}
	s.Credentials, s.Consumers.Told, s.Secret.Digest = slices.Concat(first.Credentials, []Credential{cred(Pending, two, 0)}), first.Told, two
	rotated := Decide(s, now)
	if rotated.Step != Tell || rotated.Told != one.ID() {
		t.Errorf("a rotation: step %d, told %q", rotated.Step, rotated.Told)
	}
	s.Credentials = rotated.Credentials
	if again := Decide(s, now); again.Step != Tell {
		t.Errorf("a crash before they were told: step %d", again.Step)
	}
	s.Consumers.Fault.Text = "forbidden"
	refused := Decide(s, now)
	if refused.Step != Settle || refused.Consumers.Reason != ReasonNotTold || refused.Told != one.ID() || !refused.WakeAt.Equal(now.Add(ConflictRetry)) || !refused.Ready.True || len(refused.Notices) != 1 {
		t.Errorf("who could not be told: %+v", refused)
	}
	s.Consumers.Fault.Recorded = true
	if quiet := Decide(s, now); len(quiet.Notices) != 0 {
		t.Errorf("the same fault is told twice: %v", quiet.Notices)
	}
	s.Consumers = Consumers{Asked: true, Told: two.ID()}
	if done := Decide(s, now); done.Step != Settle || !done.Consumers.True {
		t.Errorf("who have been told: step %d, %v", done.Step, done.Consumers)
	}
	s.Consumers = Consumers{Told: one.ID()}
	if none := Decide(s, now); none.Step != Settle || none.Told != two.ID() || none.Consumers.Reason != "" {
		t.Errorf("nobody to tell: step %d, told %q", none.Step, none.Told)
	}
}

func TestAFaultyTemplateCostsNoDelivery(t *testing.T) {
	s := State{Key: active(), Secret: Seen{Holding: Ours, Digest: one, Exact: true}, Credentials: []Credential{cred(Current, one, 0)}, Template: Fault{Text: "labels[x]: bad"}}
	plan := Decide(s, now)
	if !plan.Ready.True || plan.Delivered.True || plan.Delivered.Reason != ReasonInvalidTemplate || len(plan.Notices) != 1 {
		t.Errorf("%+v", plan)
	}
	s.Template.Recorded = true
	if plan := Decide(s, now); len(plan.Notices) != 0 {
		t.Errorf("told twice: %v", plan.Notices)
	}
}

func TestARetiringCredentialNeverOutlivesItsKey(t *testing.T) {
	end := now.Add(time.Hour)
	plan := Decide(State{Key: Key{Switch: Active, ExpiresAt: end}, Overlap: DefaultOverlap, Held: two,
		Secret: Seen{Holding: Ours, Digest: two, Exact: true}, Credentials: []Credential{cred(Current, one, 0), cred(Pending, two, 0)}}, now)
	for _, c := range plan.Credentials {
		if !c.ValidUntil.Equal(end) {
			t.Errorf("%s credential until %v, want %v", c.Phase, c.ValidUntil, end)
		}
	}
}

func TestAMintedClaimPrecedesAnImportedOneThenAgeThenUID(t *testing.T) {
	old, young := now.Add(-time.Hour), now
	ordered := []Claim{{true, old, "b"}, {true, young, "a"}, {true, young, "b"}, {false, old, "a"}, {false, young, "a"}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.Precedes(b); got != (i < j) {
				t.Errorf("%v precedes %v: %v", a, b, got)
			}
		}
	}
}
