// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"strings"
	"testing"
	"time"
)

func TestUnusual(t *testing.T) {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const hour, days = time.Hour, 24 * time.Hour
	home := Network{"192.0.2.0/24", ago(90 * days), ago(hour)}
	for name, c := range map[string]struct {
		facts Facts
		want  map[Pattern]string // what a sentence says
	}{
		"a key that does as always is not unusual": {Facts{Networks: []Network{home}, UsedBefore: ago(25 * hour), Hours: []Point{{ago(30 * hour), 1000, 1}, {ago(hour), 1200, 3}},
			Recent: []Recent{{"c", "", "192.0.2.0/24", 1200, ago(hour)}}}, nil},
		"a new key is not unusual": {Facts{Networks: []Network{{"192.0.2.0/24", ago(hour), now}, {"198.51.100.0/24", ago(hour), now}}, Hours: []Point{{ago(hour), 100_000, 0}},
			Recent: []Recent{{"c", "", "192.0.2.0/24", 100_000, now}}}, nil},
		"a first use from elsewhere is": {Facts{Networks: []Network{home, {"198.51.100.0/24", ago(2 * hour), now}}},
			map[Pattern]string{NewNetwork: "Used from 198.51.100.0/24 for the first time on 23 Nov 10:30 UTC; before, it came from 192.0.2.0/24."}},
		"but not after a day":    {Facts{Networks: []Network{home, {"198.51.100.0/24", ago(25 * hour), now}}}, nil},
		"a burst is":             {Facts{Hours: []Point{{ago(30 * hour), 100, 0}, {ago(hour), 500, 0}}}, map[Pattern]string{Burst: "500 requests in the hour from 23 Nov 11:30 UTC; its busiest hour of the week before had 100."}},
		"a small one is not":     {Facts{Hours: []Point{{ago(30 * hour), 1, 0}, {ago(hour), 299, 0}}}, nil},
		"nor four times as much": {Facts{Hours: []Point{{ago(30 * hour), 100, 0}, {ago(hour), 499, 0}}}, nil},
		"many failures are": {Facts{Hours: []Point{{ago(hour), 5, 20}}, Recent: []Recent{{"c", "scope", "n", 15, now}, {"c", "network", "n", 5, now}}},
			map[Pattern]string{Failures: "Refused 20 times in the hour from 23 Nov 11:30 UTC, mostly because of: a scope that the key has not."}},
		"few are not": {Facts{Hours: []Point{{ago(hour), 0, 19}}}, nil},
		"a key that wakes up is": {Facts{UsedBefore: ago(40 * days), Recent: []Recent{{"c", "", "n", 1, now}}},
			map[Pattern]string{WokeUp: "Used on 23 Nov 12:30 UTC, after 40 days in which it was not."}},
		"one that is only refused is not": {Facts{UsedBefore: ago(40 * days), Recent: []Recent{{"c", "scope", "n", 1, now}}}, nil},
		"a dead token is": {Facts{Recent: []Recent{{"3f9a1c20b7", "retired", "192.0.2.0/24", 11, ago(hour)}, {"3f9a1c20b7", "retired", "198.51.100.0/24", 1, now}}},
			map[Pattern]string{DeadToken: "A token that is retired (3f9a1c20b7) is still presented: 12 times in the last day, from 192.0.2.0/24 and 198.51.100.0/24. Whoever holds it is refused."}},
		"a former token near its end is": {Facts{Retiring: []Retiring{{"3f9a1c20b7", ago(20 * hour), now.Add(4 * hour)}}, Recent: []Recent{{"3f9a1c20b7", "", "192.0.2.0/24", 1, now}}},
			map[Pattern]string{RetiringUsed: "The former token (3f9a1c20b7) ends on 23 Nov 16:30 UTC and is still in use: once in the last day, from 192.0.2.0/24. Give that client the new one."}},
		"one far from it is not":        {Facts{Retiring: []Retiring{{"c", ago(hour), now.Add(23 * hour)}}, Recent: []Recent{{"c", "", "n", 1, now}}}, nil},
		"one that nobody uses is not":   {Facts{Retiring: []Retiring{{"c", ago(23 * hour), now.Add(hour)}}, Recent: []Recent{{"d", "", "n", 1, now}}}, nil},
		"one that has ended is retired": {Facts{Retiring: []Retiring{{"c", ago(25 * hour), now}}, Recent: []Recent{{"c", "", "n", 1, now}}}, nil},
	} {
		c.facts.Now = now
		found := Unusual(c.facts)
		if len(found) != len(c.want) {
			t.Errorf("%s: %+v", name, found)
			continue
		}
		for _, f := range found {
			if f.Sentence != c.want[f.Pattern] || f.Subject == "" || !strings.HasSuffix(f.Sentence, ".") || f.At.IsZero() {
				t.Errorf("%s: %+v\nwant %q", name, f, c.want[f.Pattern])
			}
		}
	}
}
