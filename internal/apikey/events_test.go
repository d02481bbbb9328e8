// SPDX-License-Identifier: Apache-2.0

package apikey_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/kaana/apikey-operator/internal/apikey"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestEventsReadAsTheyShould leads one key through its life and holds every Event and condition, as people read them, to a
// golden file. -update writes it anew.
func TestEventsReadAsTheyShould(t *testing.T) {
	daily, err := Every(DefaultOverlap, "uid")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	clock := now
	in := Input{Key: active(), Generation: 1, Overlap: DefaultOverlap, SecretName: "billing"}
	tokens := []Digest{one, two, three, four}
	// settle carries out plans, as the controller does, until one is at rest.
	settle := func(what string) {
		fmt.Fprintf(&out, "# %s\n", what)
		for step := Step(255); step != Settle; {
			plan := Decide(in, clock)
			if step = plan.Step; step == Mint {
				plan = in.WithMinted(plan, Credential{Digest: tokens[0], Phase: Pending, IssuedAt: clock}, clock)
				in.Minted, tokens = tokens[0], append(tokens[1:], tokens[0])
			}
			for _, e := range plan.Events {
				kind := "Normal "
				if e.Warning {
					kind = "Warning"
				}
				fmt.Fprintf(&out, "%s %s: %s\n", kind, e.Reason, e.Message)
			}
			in.Credentials, in.Conditions = plan.Credentials, plan.Conditions
			in.Rotation.Last, in.Rotation.Handled, in.Consumers.Notified = plan.Rotated, plan.Handled, plan.Notified
			switch step { //nolint:exhaustive // the others change nothing outside the plan
			case Publish, Redeliver:
				in.Secret = ObservedSecret{Ownership: Ours, Digest: in.Minted, Exact: true}
			case Notify:
				in.Consumers.Notified = in.Minted.ID()
			case Unpublish:
				in.Secret = ObservedSecret{}
			}
		}
		for _, kind := range []string{"Ready", "Accepted", "Delivered", "Rotating", "RotationDue", "ConsumersNotified"} {
			if c, ok := in.Conditions[kind]; ok {
				fmt.Fprintf(&out, "  %s=%v %s: %s\n", kind, c.True, c.Reason, c.Message)
			}
		}
	}
	settle("a key is created")
	in.Rotation.Cadence, in.Generation = daily, 2
	settle("it gets a schedule")
	clock = clock.Add(25 * time.Hour)
	in.Consumers.Wanted = true
	settle("it rotates, and a Deployment reads the token only when it starts")
	in.Secret.Exact = false
	settle("its Secret is edited by hand")
	in.Secret = ObservedSecret{}
	settle("its Secret is deleted")
	in.TemplateFault = "labels[x]: must be no more than 63 bytes"
	settle("its template has a mistake")
	in.TemplateFault = "labels[y]: must be no more than 63 bytes"
	settle("its template has another mistake, which is no news")
	in.TemplateFault, in.Key.State = "", Suspended
	settle("it is suspended")
	in.Key.State = Active
	settle("it is resumed")
	in.Secret, in.SecretName = ObservedSecret{Ownership: Foreign}, "taken"
	settle("it is to deliver to a Secret that exists")
	in.Secret, in.SecretName = ObservedSecret{Ownership: Ours, Digest: in.Minted, Exact: true}, "billing"
	in.MissingPolicy, in.Rotation.Requested = "ValidatingAdmissionPolicy apikey-grants", "now"
	settle("it is to rotate while a policy is missing")
	in.MissingPolicy, in.Key.State = "", Revoked
	settle("it is revoked")

	golden := filepath.Join("testdata", "events.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("%s is not what people read now; see the difference with -update and git diff:\n%s", golden, out.String())
	}
}
