// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestTheLastUseIsAbsentNullOrATime tells three things apart: not known, not used, and used.
func TestTheLastUseIsAbsentNullOrATime(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	since := at.Add(-24 * time.Hour)
	before := at.Add(-time.Hour)
	inStatus := &before
	for name, c := range map[string]struct {
		status      **time.Time
		last, since time.Time
		answered    bool
		want, deny  string
	}{
		"the database does not answer":             {nil, time.Time{}, time.Time{}, false, `"unusual":`, "lastUsedAt"},
		"nothing is known of when recording began": {nil, time.Time{}, time.Time{}, true, `"unusual":`, "lastUsedAt"},
		"no use since":                             {nil, time.Time{}, since, true, `"lastUsedAt":null,"useRecordedSince":"2026-11-22T12:00:00Z"`, "2026-11-23"},
		"a use":                                    {nil, at, since, true, `"lastUsedAt":"2026-11-23T12:00:00Z"`, "null,\"use"},
		"an older one is in the status":            {&inStatus, at, since, true, `"lastUsedAt":"2026-11-23T12:00:00Z"`, "T11:00"},
		"one is in the status only":                {&inStatus, time.Time{}, since, true, `"lastUsedAt":"2026-11-23T11:00:00Z"`, "T12:00:00Z\",\"use"},
		"one is in the status and nothing answers": {&inStatus, time.Time{}, time.Time{}, false, `"lastUsedAt":"2026-11-23T11:00:00Z"`, "useRecordedSince"},
	} {
		v := KeyView{LastUsedAt: c.status}
		v.addUse(c.last, c.since, c.answered)
		text, err := json.Marshal(v)
		if err != nil || !strings.Contains(string(text), c.want) || strings.Contains(string(text), c.deny) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
}
