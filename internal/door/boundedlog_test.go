// SPDX-License-Identifier: Apache-2.0

package door

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheLinesOfEachMessageAreBounded(t *testing.T) {
	var out bytes.Buffer
	log := BoundedLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	write := func(message string, level slog.Level, at time.Time) {
		r := slog.NewRecord(at, level, message, 0)
		if err := log.With("a", 1).Handler().Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for range 10_000 {
		write("sign-in failed", slog.LevelInfo, now)
		write("verdict", slog.LevelDebug, now)
	}
	write("request failed", slog.LevelError, now)
	count := func(message string) int { return strings.Count(out.String(), fmt.Sprintf("msg=%q", message)) }
	if got := count("sign-in failed"); got != linesBurst {
		t.Errorf("%d lines of one message", got)
	}
	if count("request failed") != 1 || strings.Count(out.String(), "msg=verdict") != 10_000 {
		t.Error("another message, or level debug, is limited too")
	}
	write("sign-in failed", slog.LevelInfo, now.Add(time.Second))
	if !strings.Contains(out.String(), "skipped=9900") {
		t.Error("the next line does not say how many were skipped")
	}
	for i := range 10 * maxMessages {
		write(fmt.Sprint("m", i), slog.LevelInfo, now)
	}
	if got := strings.Count(out.String(), "msg=m"); got > maxMessages+linesBurst {
		t.Errorf("%d lines of messages that differ each time", got)
	}
}
