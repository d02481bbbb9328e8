// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	fresh    = 24 * time.Hour     // what is younger is news
	baseline = 8 * 24 * time.Hour // what a burst is compared with: a week, and the day itself
	settled  = 24 * time.Hour     // a key younger than this has no habits yet
	idle     = 30 * 24 * time.Hour

	burstTimes    = 5   // more than the busiest hour of the week
	burstLeast    = 300 // requests an hour
	failuresLeast = 20  // denials an hour
	nearEnd       = 0.2 // of an overlap
)

// Pattern is a kind of unusual activity.
type Pattern string

// The patterns.
const (
	NewNetwork   Pattern = "NewNetwork"    // accepted from where it never came from before
	Burst        Pattern = "Burst"         // far more than its busiest hour of the week
	Failures     Pattern = "Failures"      // refused often
	WokeUp       Pattern = "WokeUp"        // used after a month of silence
	DeadToken    Pattern = "DeadToken"     // a retired, revoked or expired token is still presented
	RetiringUsed Pattern = "RetiringInUse" // a replaced token is still in use near its end
)

// Patterns are all of them.
var Patterns = []Pattern{NewNetwork, Burst, Failures, WokeUp, DeadToken, RetiringUsed}

// Finding is something unusual about a key, as a sentence.
type Finding struct {
	Pattern  Pattern
	Subject  string // what tells two findings of a pattern apart
	Sentence string
	At       time.Time // when it was last seen
}

// Network is where a key was accepted from.
type Network struct {
	Name        string
	First, Last time.Time
}

// Recent is what a credential met with in the last day, from one network.
type Recent struct {
	Credential, Outcome, Network string
	Count                        int64
	Last                         time.Time
}

// Retiring is a replaced token that is still accepted.
type Retiring struct {
	Credential   string
	Since, Until time.Time // of its overlap
}

// Facts are all that a judgement of a key depends on.
type Facts struct {
	Now        time.Time
	Networks   []Network // by first use
	Hours      []Point   // of the last eight days, by time
	UsedBefore time.Time // the last use before the last day; zero: none
	Recent     []Recent  // most first
	Retiring   []Retiring
}

// Unusual returns what a person should look at, most urgent first. It is pure.
func Unusual(f Facts) []Finding {
	return slices.Concat(deadTokens(f), retiringUsed(f), newNetworks(f), wokeUp(f), bursts(f), failures(f))
}

// newNetworks finds networks of the last day, of a key that had others before.
func newNetworks(f Facts) (out []Finding) {
	var habits []string
	for _, n := range f.Networks {
		if n.First.Before(f.Now.Add(-settled)) {
			habits = append(habits, n.Name)
		}
	}
	for _, n := range f.Networks {
		if len(habits) > 0 && n.First.After(f.Now.Add(-fresh)) {
			out = append(out, Finding{NewNetwork, n.Name, fmt.Sprintf("Used from %s for the first time on %s; before, it came from %s.", n.Name, day(n.First), list(habits)), n.Last})
		}
	}
	return out
}

// bursts compares the last hours with the busiest hour of the week before.
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
	return []Finding{{Burst, peak.At.Format(time.DateOnly), fmt.Sprintf("%d requests in the hour from %s; its busiest hour of the week before had %d.", peak.Accepted, day(peak.At), busiest), peak.At}}
}

// failures finds an hour of the last day in which a key was refused often, and more often than accepted.
func failures(f Facts) []Finding {
	var worst Point
	for _, h := range f.Hours {
		if !h.At.Before(f.Now.Add(-fresh)) && h.Denied >= failuresLeast && h.Denied > h.Accepted && h.Denied > worst.Denied {
			worst = h
		}
	}
	if worst.Denied == 0 {
		return nil
	}
	return []Finding{{Failures, worst.At.Format(time.DateOnly), fmt.Sprintf("Refused %d times in the hour from %s, mostly because of: %s.", worst.Denied, day(worst.At), words(mostly(f.Recent))), worst.At}}
}

// mostly returns the commonest reason of the denials.
func mostly(recent []Recent) (reason string) {
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

// wokeUp finds a key that is used after a month of silence.
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
	return []Finding{{WokeUp, last.Format(time.DateOnly), fmt.Sprintf("Used on %s, after %d days in which it was not.", day(last), int(last.Sub(f.UsedBefore).Hours()/24)), last}}
}

// deadTokens finds tokens that are refused for good and are presented still.
func deadTokens(f Facts) (out []Finding) {
	type dead struct{ credential, outcome string }
	seen := map[dead]*Finding{}
	counts, networks := map[dead]int64{}, map[dead][]string{}
	var order []dead
	for _, r := range f.Recent {
		if r.Outcome != "retired" && r.Outcome != "revoked" && r.Outcome != "expired" && r.Outcome != "deleted" {
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
		found.Sentence = fmt.Sprintf("A token that is %s (%s) is still presented: %s in the last day, from %s. Whoever holds it is refused.",
			at.outcome, at.credential, times(counts[at]), list(networks[at]))
		out = append(out, found)
	}
	return out
}

// retiringUsed finds replaced tokens that are used in the last fifth of their overlap.
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
			out = append(out, Finding{RetiringUsed, t.Credential, fmt.Sprintf("The former token (%s) ends on %s and is still in use: %s in the last day, from %s. Give that client the new one.",
				t.Credential, day(t.Until), times(count), list(from)), last})
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

// list names a few things.
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

// words says in words why a request was refused.
func words(outcome string) string {
	switch outcome {
	case "network":
		return "a network that the key may not be used from"
	case "scope":
		return "a scope that the key has not"
	case "role":
		return "a role that the key has not"
	case "tenant":
		return "another tenant's things"
	case "":
		return "unknown reasons"
	}
	return "the key or token is " + outcome
}
