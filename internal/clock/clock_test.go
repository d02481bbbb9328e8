// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTheSmallestDifferenceThatExplainsADateCounts(t *testing.T) {
	base := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	date := base.Format(http.TimeFormat) // written in [12:00:00, 12:00:01)
	for name, c := range map[string]struct{ sent, took, want time.Duration }{
		"in the same second":                     {200 * time.Millisecond, 100 * time.Millisecond, 0},
		"just after that second":                 {1100 * time.Millisecond, 0, 100 * time.Millisecond},
		"two days ahead":                         {48*time.Hour + time.Second, 0, 48 * time.Hour},
		"two days behind":                        {-48 * time.Hour, 0, -48 * time.Hour},
		"a response that took long explains all": {-time.Minute, 2 * time.Minute, 0},
		"a slow response of a clock ahead":       {61 * time.Second, time.Minute, time.Minute},
	} {
		s := New()
		s.observe(base.Add(c.sent), base.Add(c.sent+c.took), date)
		if last := s.last.Load(); last.ahead != c.want {
			t.Errorf("%s: %v, want %v", name, last.ahead, c.want)
		}
	}
	s := New()
	s.observe(base, base, "yesterday")
	if s.Ahead() != 0 || s.last.Load() != nil {
		t.Error("a date that cannot be read counts")
	}
}

func TestAClockThatIsSetIsNoticed(t *testing.T) {
	wall, up := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), time.Hour
	s := &Skew{wall: func() time.Time { return wall }, up: func() time.Duration { return up }}
	s.observe(wall, wall, wall.Format(http.TimeFormat))
	wall, up = wall.Add(time.Minute), up+time.Minute
	if got := s.Ahead(); got != 0 {
		t.Errorf("%v after a minute that simply passed", got)
	}
	wall = wall.Add(48 * time.Hour)
	if got := s.Ahead(); got != 48*time.Hour {
		t.Errorf("%v after the clock was set two days ahead", got)
	}
	wall = wall.Add(-49 * time.Hour)
	if got := s.Ahead(); got != -time.Hour {
		t.Errorf("%v after the clock was set an hour behind", got)
	}
}

func TestResponsesOfTheAPIServerAreObserved(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-48*time.Hour).UTC().Format(http.TimeFormat))
	}))
	defer server.Close()
	s := New()
	client := &http.Client{Transport: s.Observe(http.DefaultTransport)}
	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := s.Ahead(); got < 47*time.Hour || got > 49*time.Hour {
		t.Errorf("%v, want two days", got)
	}
}
