// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

const (
	heartbeat     = 2 * time.Second
	heartbeatWait = 5 * time.Second
)

// contact knows since when the ring may have missed something: all watches must be open, and the
// API server must answer now and then, because a watch of one that hangs stays open.
type contact struct {
	mu   sync.Mutex
	open map[string]int // watches, by what they watch
	last time.Time      // when all was well
}

// watched counts a watch until it ends, whichever way.
func (c *contact) watched(what string, w watch.Interface) watch.Interface {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[string]int{}
	}
	c.open[what]++
	counted := &countedWatch{Interface: w, out: make(chan watch.Event), stopped: make(chan struct{}), done: func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open[what]--
	}}
	go counted.pass()
	return counted
}

// well notes that the API server answers, if all watches are open, and returns when that was last so.
func (c *contact) well(answers bool, now time.Time, watches ...string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range watches {
		answers = answers && c.open[w] > 0
	}
	if answers {
		c.last = now
	}
	return c.last
}

// countedWatch is a watch that says when it has ended.
type countedWatch struct {
	watch.Interface
	out     chan watch.Event
	once    sync.Once
	stopped chan struct{}
	done    func()
}

func (w *countedWatch) ResultChan() <-chan watch.Event { return w.out }

func (w *countedWatch) Stop() {
	w.once.Do(func() { close(w.stopped) })
	w.Interface.Stop()
}

func (w *countedWatch) pass() {
	defer close(w.out)
	defer w.done()
	for event := range w.Interface.ResultChan() {
		select {
		case w.out <- event:
		case <-w.stopped:
			return
		}
	}
}

// beat asks the API server for a sign of life until ctx is done, and closes the ring when there has
// been none for too long.
func (r *Ring) beat(ctx context.Context, client rest.Interface) {
	r.contact.well(true, time.Now())
	for {
		asked, cancel := context.WithTimeout(ctx, heartbeatWait)
		err := client.Get().AbsPath("/version").Do(asked).Error()
		cancel()
		last := r.contact.well(err == nil, time.Now(), watchedKeys, watchedSpaces)
		r.stale.Store(r.maxStaleness > 0 && time.Since(last) > r.maxStaleness)
		select {
		case <-ctx.Done():
			return
		case <-time.After(heartbeat):
		}
	}
}

// Staleness returns for how long the ring may have missed something; two seconds at most are normal.
func (r *Ring) Staleness() time.Duration {
	r.contact.mu.Lock()
	defer r.contact.mu.Unlock()
	if r.contact.last.IsZero() {
		return 0
	}
	return time.Since(r.contact.last)
}
