// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/kaana/apikey-operator/internal/rest"
)

const (
	timelineWidth  = 600
	timelineRow    = 26
	timelineMargin = 0.08 // of the shown time, added after now
)

// timeline is a picture of the times at which each token of a key is accepted.
type timeline struct {
	Height, Now int
	From, To    time.Time
	Bars        []timelineBar
}

type timelineBar struct {
	X, Y, Width, TextX, TextY int
	Anchor, Phase, Hint       string
}

// newTimeline returns the picture of a key's tokens, and nil if the key has fewer than two.
func newTimeline(k rest.KeyView, now time.Time) *timeline {
	if len(k.Credentials) < 2 {
		return nil
	}
	t := &timeline{Height: timelineRow * len(k.Credentials), From: now, To: now}
	for _, c := range k.Credentials {
		if c.IssuedAt.Before(t.From) {
			t.From = c.IssuedAt
		}
		if c.ValidUntil != nil && c.ValidUntil.After(t.To) && c.Phase == "Retiring" {
			t.To = *c.ValidUntil
		}
	}
	t.To = t.To.Add(max(time.Minute, time.Duration(float64(t.To.Sub(t.From))*timelineMargin)))
	x := func(at time.Time) int {
		share := float64(at.Sub(t.From)) / float64(t.To.Sub(t.From))
		return int(min(max(share, 0), 1) * timelineWidth)
	}
	t.Now = x(now)
	for i, c := range k.Credentials {
		end := t.To
		if c.ValidUntil != nil && c.ValidUntil.Before(end) {
			end = *c.ValidUntil
		}
		b := timelineBar{
			X: x(c.IssuedAt), Y: i * timelineRow, Phase: c.Phase, Hint: c.Hint,
			Anchor: "start", TextY: i*timelineRow + timelineRow - 1,
		}
		b.Width = max(2, x(end)-b.X)
		if b.TextX = b.X; b.X > timelineWidth/2 {
			b.TextX, b.Anchor = b.X+b.Width, "end"
		}
		t.Bars = append(t.Bars, b)
	}
	return t
}
