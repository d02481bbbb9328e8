// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

const (
	// MinInterval is the least time between two scheduled rotations of one key.
	MinInterval = 5 * time.Minute
	// MaxSpread bounds how far jitter moves a rotation from its time, and over how long overdue
	// rotations are spread after a downtime.
	MaxSpread = 10 * time.Minute
)

// Cadence is when a key rotates: by a cron schedule in a time zone, or every so often.
type Cadence struct {
	every    time.Duration
	schedule cron.Schedule
	zone     *time.Location
	share    float64 // of the greatest jitter, 0 to 1, from the key's UID
}

// Every returns the cadence of a key that rotates d after it last did, up to a tenth sooner: which
// share of that tenth is decided by the UID, so that keys made together drift apart.
func Every(d time.Duration, uid string) (Cadence, error) {
	if d <= 0 {
		return Cadence{}, fmt.Errorf("every: %v is not a positive duration", d)
	}
	return Cadence{every: d, share: share(uid)}, nil
}

// Schedule returns the cadence of a 5-field cron schedule in an IANA time zone (empty: UTC). The
// UID decides by how much of a tenth of the interval, ten minutes at most, the key rotates later.
func Schedule(spec, zone, uid string) (Cadence, error) {
	if strings.ContainsAny(spec, "=@") { // the library would read time zones and @every here
		return Cadence{}, fmt.Errorf("schedule %q: want five cron fields: minute hour day-of-month month day-of-week", spec)
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(spec)
	if err != nil {
		return Cadence{}, fmt.Errorf("schedule %q: %w", spec, err)
	}
	if zone == "Local" {
		return Cadence{}, errors.New(`timeZone "Local": want the name of a zone of the IANA database, like Europe/Berlin`)
	}
	in, err := time.LoadLocation(zone)
	if err != nil {
		return Cadence{}, fmt.Errorf("timeZone %q: want the name of a zone of the IANA database, like Europe/Berlin", zone)
	}
	c := Cadence{schedule: parsed, zone: in, share: share(uid)}
	if c.fires(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cadence{}, fmt.Errorf("schedule %q: there is no such day", spec)
	}
	return c, nil
}

// After returns the instant at which a key that last rotated then is due again; zero: never.
func (c Cadence) After(last time.Time) time.Time {
	if c.schedule == nil {
		return last.Add(c.every - time.Duration(c.share*float64(c.every)/10)).Truncate(time.Second)
	}
	at := c.fires(last)
	for at.Sub(last) < MinInterval && !at.IsZero() {
		at = c.fires(at)
	}
	if at.IsZero() {
		return at
	}
	return at.Add(c.jitterAt(at)).Truncate(time.Second)
}

// jitterAt returns by how much a firing at that instant is moved.
func (c Cadence) jitterAt(at time.Time) time.Duration {
	gap := max(c.fires(at).Sub(at), 0) // negative when it is the last firing
	return time.Duration(c.share * float64(min(gap/10, MaxSpread))).Truncate(time.Second)
}

// fires returns the first firing of the schedule after an instant; zero when there is none.
//
// The schedule is evaluated on the wall clock and then put into the zone, so that a time that a
// change of the clocks skips is not missed and one that it repeats comes once.
func (c Cadence) fires(after time.Time) time.Time {
	local := after.In(c.zone)
	wall := time.Date(
		local.Year(),
		local.Month(),
		local.Day(),
		local.Hour(),
		local.Minute(),
		local.Second(),
		0,
		time.UTC,
	)
	for {
		wall = c.schedule.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, c.zone)
		if at.After(after) {
			return at
		}
	}
}

// spread returns how long a key that was overdue when the controller started waits, so that a
// downtime is not followed by a burst.
func (c Cadence) spread() time.Duration {
	most := MaxSpread
	if c.schedule == nil {
		most = min(most, c.every/10)
	}
	return time.Duration(c.share * float64(most)).Truncate(time.Second)
}

// share derives a number from 0 to 1 from a UID.
func share(uid string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(uid))
	x := h.Sum64() // finished as in splitmix64, because close UIDs must not stay close
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}
