// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/denial"
)

func TestAnomalies(t *testing.T) {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const hour, days = time.Hour, 24 * time.Hour
	home := Network{"192.0.2.0/24", ago(90 * days), ago(hour)}
	for _, c := range []struct {
		name  string
		facts Facts
		want  map[Pattern]string // what a sentence says
	}{
		{"a key that is used as usual has no anomaly", Facts{Networks: []Network{home}, UsedBefore: ago(25 * hour), Hours: []Point{{ago(30 * hour), 1000, 1}, {ago(hour), 1200, 3}},
			Recent: []Recent{{"c", "", "192.0.2.0/24", 1200, ago(hour)}}}, nil},
		{"a new key has no anomaly", Facts{Networks: []Network{{"192.0.2.0/24", ago(hour), now}, {"198.51.100.0/24", ago(hour), now}}, Hours: []Point{{ago(hour), 100_000, 0}},
			Recent: []Recent{{"c", "", "192.0.2.0/24", 100_000, now}}}, nil},
		{"a first use from another network is an anomaly", Facts{Networks: []Network{home, {"198.51.100.0/24", ago(2 * hour), now}}},
			map[Pattern]string{NewNetwork: "Used from 198.51.100.0/24 for the first time on 23 Nov 10:30 UTC; before, it came from 192.0.2.0/24."}},
		{"a network that was first seen more than a day ago is none", Facts{Networks: []Network{home, {"198.51.100.0/24", ago(25 * hour), now}}}, nil},
		{"five times the busiest hour is a burst", Facts{Hours: []Point{{ago(30 * hour), 100, 0}, {ago(hour), 500, 0}}}, map[Pattern]string{Burst: "500 requests in the hour from 23 Nov 11:30 UTC; its busiest hour of the week before had 100."}},
		{"fewer than 300 requests in an hour are no burst", Facts{Hours: []Point{{ago(30 * hour), 1, 0}, {ago(hour), 299, 0}}}, nil},
		{"less than five times the busiest hour is no burst", Facts{Hours: []Point{{ago(30 * hour), 100, 0}, {ago(hour), 499, 0}}}, nil},
		{"many denials in an hour are an anomaly", Facts{Hours: []Point{{ago(hour), 5, 20}}, Recent: []Recent{{"c", "scope", "n", 15, now}, {"c", "network", "n", 5, now}}},
			map[Pattern]string{Failures: "Denied 20 times in the hour from 23 Nov 11:30 UTC. The most frequent reason: a scope that the key does not have."}},
		{"few denials are none", Facts{Hours: []Point{{ago(hour), 0, 19}}}, nil},
		{"a key that is used after a month without a use is an anomaly", Facts{UsedBefore: ago(40 * days), Recent: []Recent{{"c", "", "n", 1, now}}},
			map[Pattern]string{WokeUp: "Used on 23 Nov 12:30 UTC, after 40 days without a use."}},
		{"a key that is only denied after a month is none", Facts{UsedBefore: ago(40 * days), Recent: []Recent{{"c", "scope", "n", 1, now}}}, nil},
		{"a token that never works again and is presented is an anomaly", Facts{Recent: []Recent{{"3f9a1c20b7", "retired", "192.0.2.0/24", 11, ago(hour)}, {"3f9a1c20b7", "retired", "198.51.100.0/24", 1, now}}},
			map[Pattern]string{DeadToken: "A token that is retired (3f9a1c20b7) is still presented: 12 times in the last day, from 192.0.2.0/24 and 198.51.100.0/24. These requests are denied."}},
		{"a previous token that is used near its end is an anomaly", Facts{Retiring: []Retiring{{"3f9a1c20b7", ago(20 * hour), now.Add(4 * hour)}}, Recent: []Recent{{"3f9a1c20b7", "", "192.0.2.0/24", 1, now}}},
			map[Pattern]string{RetiringUsed: "The previous token (3f9a1c20b7) works until 23 Nov 16:30 UTC and is still in use: once in the last day, from 192.0.2.0/24. Give that client the new token."}},
		{"a previous token far from its end is none", Facts{Retiring: []Retiring{{"c", ago(hour), now.Add(23 * hour)}}, Recent: []Recent{{"c", "", "n", 1, now}}}, nil},
		{"a previous token that is not used is none", Facts{Retiring: []Retiring{{"c", ago(23 * hour), now.Add(hour)}}, Recent: []Recent{{"d", "", "n", 1, now}}}, nil},
		{"a previous token that has ended is none", Facts{Retiring: []Retiring{{"c", ago(25 * hour), now}}, Recent: []Recent{{"c", "", "n", 1, now}}}, nil},
	} {
		c.facts.Now = now
		found := Anomalies(c.facts)
		if len(found) != len(c.want) {
			t.Errorf("%s: %+v", c.name, found)
			continue
		}
		for _, f := range found {
			if f.Sentence != c.want[f.Pattern] || f.Subject == "" || !strings.HasSuffix(f.Sentence, ".") || f.At.IsZero() {
				t.Errorf("%s: %+v\nwant %q", c.name, f, c.want[f.Pattern])
			}
		}
	}
}

func TestATokenIsDeadForTheReasonsThatArePermanent(t *testing.T) {
	for r := range denial.Reason(denial.Count) {
		found := Anomalies(Facts{Now: now, Recent: []Recent{{"c", r.String(), "n", 1, now}}})
		if got := len(found) == 1 && found[0].Pattern == DeadToken; got != r.Permanent() {
			t.Errorf("a token that is denied as %q: %+v", r, found)
		}
	}
}
