// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// Registry is what servers share about sessions. The sessions themselves are in cookies.
type Registry interface {
	// EndSession remembers that a session ended before its time, until that time.
	EndSession(ctx context.Context, id string, until time.Time) error
	// SessionEnded reports whether a session ended before its time.
	SessionEnded(ctx context.Context, id string) (bool, error)
	// ClaimRefresh reports whether the caller is the first server to use the refresh token with that name. A claim
	// ends after a minute.
	ClaimRefresh(ctx context.Context, name string, now time.Time) (bool, error)
	// ReleaseRefresh gives a claim back, because the refresh token could not be used.
	ReleaseRefresh(ctx context.Context, name string) error
}

// maxEnded bounds the sessions that Memory knows to have ended.
const maxEnded = 100_000

var errFull = errors.New("too many sessions ended within their time")

// Memory is the Registry of one server without a database. It forgets when the server restarts. The zero value is ready
// to use.
type Memory struct {
	mu    sync.Mutex
	ended map[string]time.Time // until
}

// EndSession implements Registry.
func (m *Memory) EndSession(_ context.Context, id string, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended == nil {
		m.ended = map[string]time.Time{}
	}
	if len(m.ended) >= maxEnded {
		now := time.Now()
		maps.DeleteFunc(m.ended, func(_ string, until time.Time) bool { return until.Before(now) })
	}
	if len(m.ended) >= maxEnded {
		return errFull
	}
	m.ended[id] = until
	return nil
}

// SessionEnded implements Registry.
func (m *Memory) SessionEnded(_ context.Context, id string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ended := m.ended[id]
	return ended, nil
}

// ClaimRefresh implements Registry. Sessions itself uses a refresh token once in each server.
func (*Memory) ClaimRefresh(context.Context, string, time.Time) (bool, error) { return true, nil }

// ReleaseRefresh implements Registry.
func (*Memory) ReleaseRefresh(context.Context, string) error { return nil }
