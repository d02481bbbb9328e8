// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

const maxDays = 36500

var errDuration = errors.New("want a duration like 90d or 12h")

// parseDuration reads a duration, which may be in days.
func parseDuration(text string) (time.Duration, error) {
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, errDuration
		}
		return d, nil
	}
	n, err := strconv.Atoi(days)
	if err != nil || n < 0 || n > maxDays {
		return 0, errDuration
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// parseExpiry reads a time, or a duration from now.
func parseExpiry(text string, now time.Time) (*metav1.Time, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // the key does not expire
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return &metav1.Time{Time: t}, nil
	}
	d, err := parseDuration(text)
	if err != nil || d <= 0 {
		return nil, fmt.Errorf("--expires=%s: want a duration like 90d or 12h, or a time like 2027-01-01T00:00:00Z", text)
	}
	return &metav1.Time{Time: now.Add(d).UTC().Truncate(time.Second)}, nil
}

// age returns how long ago a time was, as kubectl writes it.
func age(t *metav1.Time, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// relative returns how far away a time is, in the future or in the past.
func relative(t *metav1.Time, now time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case t.After(now):
		return "in " + duration.HumanDuration(t.Sub(now))
	}
	return duration.HumanDuration(now.Sub(t.Time)) + " ago"
}
