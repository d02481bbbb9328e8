// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/internal/denial"
)

const (
	fresh    = 24 * time.Hour     // findings are about this period
	baseline = 8 * 24 * time.Hour // a burst is compared with the week before the last day
	settled  = 24 * time.Hour     // networks seen for longer than this are expected
	idle     = 30 * 24 * time.Hour

	burstTimes    = 5   // more than the busiest hour of the week
	burstLeast    = 300 // requests per hour
	failuresLeast = 20  // denials per hour
	nearEnd       = 0.2 // the last part of an overlap
)

// Pattern is a kind of anomaly.
type Pattern string

// The patterns.
const (
	NewNetwork   Pattern = "NewNetwork"    // accepted from a network for the first time
	Burst        Pattern = "Burst"         // many more requests than in the busiest hour of the week
	Failures     Pattern = "Failures"      // denied often
	WokeUp       Pattern = "WokeUp"        // used after a month without a use
	DeadToken    Pattern = "DeadToken"     // a token that never works again is still presented
	RetiringUsed Pattern = "RetiringInUse" // a previous token is still in use near its end
)

// Patterns are all patterns.
var Patterns = []Pattern{NewNetwork, Burst, Failures, WokeUp, DeadToken, RetiringUsed}

// Finding is one anomaly of a key.
type Finding struct {
	Pattern  Pattern
	Subject  string // distinguishes findings of one pattern
	Sentence string
	At       time.Time // when it was last seen
}

// Network is a network that a key was accepted from.
type Network struct {
	Name        string
	First, Last time.Time
}

// Recent counts the uses of a credential in the last day, with one outcome and from one network.
type Recent struct {
	Credential, Outcome, Network string
	Count                        int64
	Last                         time.Time
}

// Retiring is a previous token that is still accepted.
type Retiring struct {
	Credential   string
	Since, Until time.Time // of its overlap
}

// Facts are the input of Anomalies.
type Facts struct {
	Now        time.Time
	Networks   []Network // by first use
	Hours      []Point   // of the last eight days, by time
	UsedBefore time.Time // the last accepted use before the last day, zero for none
	Recent     []Recent  // most uses first
	Retiring   []Retiring
}

// Anomalies returns what an admin should look at, most urgent first. It is pure.
func Anomalies(f Facts) []Finding {
	return slices.Concat(deadTokens(f), retiringUsed(f), newNetworks(f), wokeUp(f), bursts(f), failures(f))
}

// newNetworks finds networks that were first seen in the last day, if the key used other networks before.
func newNetworks(f Facts) (out []Finding) {
	var usual []string
	for _, n := range f.Networks {
		if n.First.Before(f.Now.Add(-settled)) {
			usual = append(usual, n.Name)
		}
	}
	for _, n := range f.Networks {
		if len(usual) > 0 && n.First.After(f.Now.Add(-fresh)) {
			sentence := fmt.Sprintf("Used from %s for the first time on %s; before, it came from %s.",
				n.Name, day(n.First), list(usual))
			out = append(out, Finding{NewNetwork, n.Name, sentence, n.Last})
		}
	}
	return out
}

// bursts compares the hours of the last day with the busiest hour of the week before.
func bursts(f Facts) []Finding {
	today := f.Now.Add(-fresh)
	var busiest int64
	var peak Point
	old := false
	for _, h := range f.Hours {
		switch {
		case h.At.Before(today):
			busiest, old = max(busiest, h.Accepted), true
		case h.Accepted > peak.Accepted:
			peak = h
		}
	}
	if !old || peak.Accepted < burstLeast || peak.Accepted < burstTimes*busiest {
		return nil
	}
	sentence := fmt.Sprintf("%d requests in the hour from %s; its busiest hour of the week before had %d.",
		peak.Accepted, day(peak.At), busiest)
	return []Finding{{Burst, peak.At.Format(time.DateOnly), sentence, peak.At}}
}

// failures finds the hour of the last day with the most denials, if it had many, and more than accepted requests.
func failures(f Facts) []Finding {
	var worst Point
	for _, h := range f.Hours {
		recent := !h.At.Before(f.Now.Add(-fresh))
		if recent && h.Denied >= failuresLeast && h.Denied > h.Accepted && h.Denied > worst.Denied {
			worst = h
		}
	}
	if worst.Denied == 0 {
		return nil
	}
	sentence := fmt.Sprintf("Denied %d times in the hour from %s. The most frequent reason: %s.",
		worst.Denied, day(worst.At), describe(mostFrequent(f.Recent)))
	return []Finding{{Failures, worst.At.Format(time.DateOnly), sentence, worst.At}}
}

// mostFrequent returns the most frequent reason of the denials.
func mostFrequent(recent []Recent) (reason string) {
	counts := map[string]int64{}
	for _, r := range recent {
		if r.Outcome != "" {
			counts[r.Outcome] += r.Count
		}
	}
	for r, n := range counts {
		if n > counts[reason] || n == counts[reason] && r < reason {
			reason = r
		}
	}
	return reason
}

// wokeUp finds a key that is used after a month without a use.
func wokeUp(f Facts) []Finding {
	var last time.Time
	for _, r := range f.Recent {
		if r.Outcome == "" && r.Last.After(last) {
			last = r.Last
		}
	}
	if last.IsZero() || f.UsedBefore.IsZero() || last.Sub(f.UsedBefore) < idle {
		return nil
	}
	sentence := fmt.Sprintf("Used on %s, after %d days without a use.", day(last), int(last.Sub(f.UsedBefore).Hours()/24))
	return []Finding{{WokeUp, last.Format(time.DateOnly), sentence, last}}
}

// permanent are the reasons after which a token never works again, by name.
var permanent = func() map[string]bool {
	out := map[string]bool{}
	for r := range denial.Reason(denial.Count) {
		out[r.String()] = r.Permanent()
	}
	return out
}()

// deadTokens finds tokens that never work again and are still presented.
func deadTokens(f Facts) (out []Finding) {
	type dead struct{ credential, outcome string }
	seen := map[dead]*Finding{}
	counts, networks := map[dead]int64{}, map[dead][]string{}
	var order []dead
	for _, r := range f.Recent {
		if !permanent[r.Outcome] {
			continue
		}
		at := dead{r.Credential, r.Outcome}
		if seen[at] == nil {
			seen[at] = &Finding{Pattern: DeadToken, Subject: r.Credential + " " + r.Outcome}
			order = append(order, at)
		}
		counts[at] += r.Count
		if r.Network != "" {
			networks[at] = append(networks[at], r.Network)
		}
		if r.Last.After(seen[at].At) {
			seen[at].At = r.Last
		}
	}
	for _, at := range order {
		found := *seen[at]
		found.Sentence = fmt.Sprintf("A token that is %s (%s) is still presented: %s in the last day, from %s. "+
			"These requests are denied.", at.outcome, at.credential, times(counts[at]), list(networks[at]))
		out = append(out, found)
	}
	return out
}

// retiringUsed finds previous tokens that are used in the last fifth of their overlap.
func retiringUsed(f Facts) (out []Finding) {
	for _, t := range f.Retiring {
		left := t.Until.Sub(f.Now)
		if left <= 0 || float64(left) > nearEnd*float64(t.Until.Sub(t.Since)) {
			continue
		}
		var count int64
		var from []string
		var last time.Time
		for _, r := range f.Recent {
			if r.Credential == t.Credential && r.Outcome == "" {
				if count += r.Count; r.Network != "" {
					from = append(from, r.Network)
				}
				if r.Last.After(last) {
					last = r.Last
				}
			}
		}
		if count > 0 {
			sentence := fmt.Sprintf("The previous token (%s) works until %s and is still in use: %s in the last day, "+
				"from %s. Give that client the new token.", t.Credential, day(t.Until), times(count), list(from))
			out = append(out, Finding{RetiringUsed, t.Credential, sentence, last})
		}
	}
	return out
}

func day(t time.Time) string { return t.UTC().Format("2 Jan 15:04 UTC") }

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// list joins the first few names.
func list(names []string) string {
	const few = 3
	switch {
	case len(names) == 0:
		return "an unknown network"
	case len(names) == 1:
		return names[0]
	case len(names) > few:
		return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", len(names)-few)
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// describe describes the reason of a denial for people.
func describe(reason string) string {
	switch reason {
	case denial.Network.String():
		return "a network that the key may not be used from"
	case denial.Scope.String():
		return "a scope that the key does not have"
	case denial.Role.String():
		return "a role that the key does not have"
	case denial.Tenant.String():
		return "resources of another tenant"
	case denial.None.String():
		return "unknown"
	}
	return "the key or token is " + reason
}
