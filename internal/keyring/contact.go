// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

const (
	heartbeatInterval = 2 * time.Second
	heartbeatTimeout  = 5 * time.Second
	// promptInterval is the least time between heartbeats, which tokens that are not known ask for.
	promptInterval = 250 * time.Millisecond
	// maxSilence is how long ago the last heartbeat may be for an answer to be current.
	maxSilence = heartbeatInterval + heartbeatTimeout
)

// contact records when the index was last known to be up to date. All watches must be open, and heartbeats must be
// answered, because a watch stays open when the API server or its etcd hangs.
type contact struct {
	mu      sync.Mutex
	watches map[string]watchState // by name
	last    time.Time             // when the last heartbeat began that was answered while all watches were open

	beating atomic.Bool  // heartbeats have begun
	begun   atomic.Int64 // last, in nanoseconds, for readers without the lock
	prompt  chan struct{}
}

// ask asks for a heartbeat now instead of at the next interval.
func (c *contact) ask() {
	select {
	case c.prompt <- struct{}{}:
	default: // asked already
	}
}

// since reports whether there was contact after an instant: a heartbeat that began later was answered.
func (c *contact) since(at time.Time) bool { return c.begun.Load() > at.UnixNano() }

// watchState is the state of the watches of one name.
type watchState struct {
	open   int
	since  time.Time // when the last one opened
	behind bool      // it is still sending the initial objects
}

// change updates the state of a watch.
func (c *contact) change(name string, update func(*watchState)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watches == nil {
		c.watches = map[string]watchState{}
	}
	state := c.watches[name]
	update(&state)
	c.watches[name] = state
}

// caughtUp records that a watch has delivered a complete list.
func (c *contact) caughtUp(name string) {
	c.change(name, func(s *watchState) { s.behind = false })
}

// watching wraps a function that opens watches, and counts them.
func (c *contact) watching(name string, open cache.WatchFuncWithContext) cache.WatchFuncWithContext {
	return func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		w, err := open(ctx, o)
		if err != nil {
			return nil, err
		}
		return c.watched(name, o, w), nil
	}
}

// watched counts a watch until it ends. A watch that sends the initial objects is behind until caughtUp.
func (c *contact) watched(name string, o metav1.ListOptions, w watch.Interface) watch.Interface {
	c.change(name, func(s *watchState) {
		s.open++
		s.since = time.Now()
		s.behind = s.behind || o.SendInitialEvents != nil && *o.SendInitialEvents
	})
	ended := func() { c.change(name, func(s *watchState) { s.open-- }) }
	counted := &countedWatch{Interface: w, out: make(chan watch.Event), stopped: make(chan struct{}), ended: ended}
	go counted.pass()
	return counted
}

// markHealthy records contact at now, when a heartbeat began, if the API server answers and every watch has been open
// long enough to catch up. It returns the time of the last contact.
func (c *contact) markHealthy(answers bool, now time.Time, watches ...string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range watches {
		s := c.watches[w]
		answers = answers && s.open > 0 && !s.behind && now.Sub(s.since) >= heartbeatInterval/2
	}
	if answers {
		c.last = now
		c.begun.Store(now.UnixNano())
	}
	return c.last
}

// countedWatch is a watch that calls ended when it ends.
type countedWatch struct {
	watch.Interface
	out     chan watch.Event
	once    sync.Once
	stopped chan struct{}
	ended   func()
}

func (w *countedWatch) ResultChan() <-chan watch.Event { return w.out }

func (w *countedWatch) Stop() {
	w.once.Do(func() { close(w.stopped) })
	w.Interface.Stop()
}

func (w *countedWatch) pass() {
	defer close(w.out)
	defer w.ended()
	for event := range w.Interface.ResultChan() {
		select {
		case w.out <- event:
		case <-w.stopped:
			return
		}
	}
}

// heartbeat reads a Namespace until ctx is done, and makes the index stale when contact was lost for longer than
// maxStaleness. A read of one object without a resource version reaches etcd, where revocations come from. The API
// server answers /version and its open watches without etcd.
func (ix *Index) heartbeat(ctx context.Context, client metadata.ResourceInterface, namespaces []string) {
	object := namespaces[0]
	if object == metav1.NamespaceAll {
		object = metav1.NamespaceSystem // every cluster has it
	}
	var watches []string
	for _, ns := range namespaces {
		watches = append(watches, watchName(watchedKeys, ns), watchName(watchedNamespaces, ns))
	}
	ix.contact.markHealthy(true, time.Now())
	ix.contact.beating.Store(true)
	for {
		begin := time.Now()
		request, cancel := context.WithTimeout(ctx, heartbeatTimeout)
		_, err := client.Get(request, object, metav1.GetOptions{})
		cancel()
		last := ix.contact.markHealthy(err == nil || apierrors.IsNotFound(err), begin, watches...)
		ix.stale.Store(ix.maxStaleness > 0 && time.Since(last) > ix.maxStaleness)
		select {
		case <-ctx.Done():
			return
		case <-time.After(promptInterval):
		}
		select {
		case <-ctx.Done():
			return
		case <-ix.contact.prompt:
		case <-time.After(heartbeatInterval - promptInterval):
		}
	}
}

// Staleness returns for how long the index may have missed changes. Up to two seconds are normal.
func (ix *Index) Staleness() time.Duration {
	ix.contact.mu.Lock()
	defer ix.contact.mu.Unlock()
	if ix.contact.last.IsZero() {
		return 0
	}
	return time.Since(ix.contact.last)
}
