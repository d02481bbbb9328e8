// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	heartbeat     = 2 * time.Second
	heartbeatWait = 5 * time.Second
)

// contact knows since when the ring may have missed something: all watches must be open, and the
// API server must answer now and then, because a watch of one that hangs stays open.
type contact struct {
	mu      sync.Mutex
	watches map[string]watchState // by what they watch
	last    time.Time             // when all was well
}

// watchState is how a watch stands.
type watchState struct {
	open   int
	since  time.Time // when the last one was opened
	behind bool      // it is sending all there is, and has not come to the end
}

// change changes the state of a watch.
func (c *contact) change(what string, how func(*watchState)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watches == nil {
		c.watches = map[string]watchState{}
	}
	state := c.watches[what]
	how(&state)
	c.watches[what] = state
}

// caughtUp says that a whole list has been taken over.
func (c *contact) caughtUp(what string) {
	c.change(what, func(s *watchState) { s.behind = false })
}

// watching counts the watches that a function opens.
func (c *contact) watching(what string, open cache.WatchFuncWithContext) cache.WatchFuncWithContext {
	return func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		w, err := open(ctx, o)
		if err != nil {
			return nil, err
		}
		return c.watched(what, o, w), nil
	}
}

// watched counts a watch until it ends, whichever way. One that sends all there is first is behind
// until that is taken over.
func (c *contact) watched(what string, o metav1.ListOptions, w watch.Interface) watch.Interface {
	c.change(what, func(s *watchState) {
		s.open++
		s.since = time.Now()
		s.behind = s.behind || o.SendInitialEvents != nil && *o.SendInitialEvents
	})
	counted := &countedWatch{Interface: w, out: make(chan watch.Event), stopped: make(chan struct{}), done: func() {
		c.change(what, func(s *watchState) { s.open-- })
	}}
	go counted.pass()
	return counted
}

// well notes that the API server answers, if all watches have been open for a moment, in which what
// was missed arrives, and returns when that was last so.
func (c *contact) well(answers bool, now time.Time, watches ...string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range watches {
		s := c.watches[w]
		answers = answers && s.open > 0 && !s.behind && now.Sub(s.since) >= heartbeat/2
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
func (r *Ring) beat(ctx context.Context, client rest.Interface, namespaces []string) {
	var watches []string
	for _, ns := range namespaces {
		watches = append(watches, watchOf(watchedKeys, ns), watchOf(watchedSpaces, ns))
	}
	r.contact.well(true, time.Now())
	for {
		asked, cancel := context.WithTimeout(ctx, heartbeatWait)
		err := client.Get().AbsPath("/version").Do(asked).Error()
		cancel()
		last := r.contact.well(err == nil, time.Now(), watches...)
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
