// SPDX-License-Identifier: Apache-2.0

package door

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

const (
	linesPerSecond = 10 // of one message
	linesBurst     = 100
	maxMessages    = 256
)

// BoundedLog returns a logger that writes at most ten lines a second of each message, with bursts of 100, because
// clients can cause any number of them. The next line says how many were skipped. Lines of level debug are not limited.
func BoundedLog(log *slog.Logger) *slog.Logger {
	return slog.New(boundedHandler{Handler: log.Handler(), messages: &messageLimits{of: map[string]*lineLimit{}}})
}

type boundedHandler struct {
	slog.Handler
	messages *messageLimits
}

type messageLimits struct {
	mu sync.Mutex
	of map[string]*lineLimit
}

type lineLimit struct {
	rate    *rate.Limiter
	skipped atomic.Uint64
}

// limit returns the limit of a message. Messages are constants of the code; should there ever be more than maxMessages,
// the others share one limit.
func (m *messageLimits) limit(message string) *lineLimit {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of[message] == nil && len(m.of) >= maxMessages {
		message = ""
	}
	l := m.of[message]
	if l == nil {
		l = &lineLimit{rate: rate.NewLimiter(linesPerSecond, linesBurst)}
		m.of[message] = l
	}
	return l
}

func (h boundedHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level <= slog.LevelDebug {
		return h.Handler.Handle(ctx, r)
	}
	l := h.messages.limit(r.Message)
	if !l.rate.AllowN(r.Time, 1) {
		l.skipped.Add(1)
		return nil
	}
	if n := l.skipped.Swap(0); n > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Uint64("skipped", n))
	}
	return h.Handler.Handle(ctx, r)
}

func (h boundedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return boundedHandler{Handler: h.Handler.WithAttrs(attrs), messages: h.messages}
}

func (h boundedHandler) WithGroup(name string) slog.Handler {
	return boundedHandler{Handler: h.Handler.WithGroup(name), messages: h.messages}
}
