// SPDX-License-Identifier: Apache-2.0

package apikey_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/kaana/apikey-operator/internal/apikey"
)

func schedule(t *testing.T, spec, zone string) Cadence {
	t.Helper()
	c, err := Schedule(spec, zone, "uid")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// within holds an instant to be the wanted one, written in RFC 3339, or up to so much later.
func within(t *testing.T, got time.Time, want string, late time.Duration) {
	t.Helper()
	at, err := time.Parse(time.RFC3339, want)
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Sub(at); d < 0 || d > late {
		t.Errorf("%v, want %v and at most %v later", got, at, late)
	}
}

func TestAScheduleFiresInItsZoneAcrossChangesOfTheClocks(t *testing.T) {
	for name, c := range map[string]struct{ spec, zone, last, want string }{
		"in UTC":                            {"0 3 * * *", "", "2026-11-23T12:00:00Z", "2026-11-24T03:00:00Z"},
		"in a zone":                         {"0 3 * * *", "Europe/Berlin", "2026-11-23T12:00:00Z", "2026-11-24T02:00:00Z"},
		"in a zone west of UTC":             {"0 3 * * *", "America/New_York", "2026-11-23T06:00:00Z", "2026-11-23T08:00:00Z"},
		"a skipped time is not missed":      {"30 2 * * 0", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"},
		"a repeated time comes":             {"30 2 * * 0", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T01:30:00Z"},
		"and comes once":                    {"30 2 * * 0", "Europe/Berlin", "2026-10-25T01:45:00Z", "2026-11-01T01:30:00Z"},
		"a leap day":                        {"0 0 29 2 *", "", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		"a month of downtime is one firing": {"0 3 * * *", "", "2026-10-01T03:00:00Z", "2026-10-02T03:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			last, err := time.Parse(time.RFC3339, c.last)
			if err != nil {
				t.Fatal(err)
			}
			within(t, schedule(t, c.spec, c.zone).After(last), c.want, MaxSpread)
		})
	}
}

func TestEveryFiringRotatesOnceAndJitterDoesNotAddUp(t *testing.T) {
	for i := range 50 {
		c, err := Schedule("0 * * * *", "", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		at := now
		for hour := 1; hour <= 48; hour++ {
			next := c.After(at)
			within(t, next, now.Add(time.Duration(hour)*time.Hour).Format(time.RFC3339), 6*time.Minute)
			at = next
		}
	}
}

func TestAScheduleKeepsTheLeastInterval(t *testing.T) {
	c := schedule(t, "* * * * *", "")
	for at := now; at.Before(now.Add(time.Hour)); {
		next := c.After(at)
		if next.Sub(at) < MinInterval {
			t.Fatalf("%v after %v", next, at)
		}
		at = next
	}
}

func TestAScheduleWithoutANextFiringIsNeverDue(t *testing.T) {
	c := schedule(t, "0 0 29 2 *", "") // 2100 is no leap year, and the library looks five years ahead
	if at := c.After(time.Date(2096, 3, 1, 0, 0, 0, 0, time.UTC)); !at.IsZero() {
		t.Errorf("due at %v", at)
	}
	last := c.After(time.Date(2096, 1, 1, 0, 0, 0, 0, time.UTC))
	within(t, last, "2096-02-29T00:00:00Z", MaxSpread)
}

func TestEveryIsUpToATenthSoonerAndTheSameForOneKey(t *testing.T) {
	seen := map[time.Time]bool{}
	for i := range 1000 {
		c, err := Every(1000*time.Hour, fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
		if err != nil {
			t.Fatal(err)
		}
		at := c.After(now)
		if d := at.Sub(now); d <= 900*time.Hour-time.Second || d > 1000*time.Hour {
			t.Fatalf("after %v", d)
		}
		if !c.After(now).Equal(at) {
			t.Fatal("drawn anew")
		}
		seen[at.Truncate(time.Hour)] = true
	}
	if len(seen) < 95 { // of the hundred hours that a tenth has
		t.Errorf("1,000 keys share %d of 100 hours", len(seen))
	}
}

func TestABadCadenceSaysWhatIsWrong(t *testing.T) {
	for spec, c := range map[string]struct{ zone, says string }{
		"":                 {"", `schedule ""`},
		"0 3 * *":          {"", "expected exactly 5 fields"},
		"61 3 * * *":       {"", "above maximum"},
		"@daily":           {"", "want five cron fields"},
		"TZ=UTC 0 3 * * *": {"", "want five cron fields"},
		"0 0 30 2 *":       {"", "there is no such day"},
		"0 3 * * 0":        {"Mars/Olympus", `timeZone "Mars/Olympus": want`},
		"0 3 * * 1":        {"Local", `timeZone "Local": want`},
		"0 3 * * 2":        {"../../etc/passwd", "timeZone"},
	} {
		if _, err := Schedule(spec, c.zone, "uid"); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q in %q: %v", spec, c.zone, err)
		}
	}
	if _, err := Every(0, "uid"); err == nil {
		t.Error("every 0 is a cadence")
	}
}

// FuzzSchedule holds any schedule to: the next rotation is later than the last, and not the same
// when asked again from there.
func FuzzSchedule(f *testing.F) {
	f.Add("30 2 * * 0", "Europe/Berlin", int64(1774656000))
	f.Add("*/7 1,2 * 3,10 *", "America/New_York", int64(1793491200))
	f.Add("0 0 29 2 *", "Pacific/Apia", int64(0))
	f.Add("59 23 31 12 *", "Antarctica/Troll", int64(1))
	f.Fuzz(func(t *testing.T, spec, zone string, unix int64) {
		if unix < 0 || unix > 4e9 || len(spec) > 100 {
			return
		}
		c, err := Schedule(spec, zone, "uid")
		if err != nil {
			return
		}
		at := time.Unix(unix, 0)
		for range 3 {
			next := c.After(at)
			if !next.IsZero() && next.Sub(at) < MinInterval {
				t.Fatalf("%q in %q: %v after %v", spec, zone, next, at)
			}
			if next.IsZero() {
				return
			}
			at = next
		}
	})
}
