// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	// maxWait is how long the watch may take to deliver a new credential, from when its token is first presented.
	maxWait = time.Second
	// deadlineReserve is what remains of a caller's deadline for the answer.
	deadlineReserve = 50 * time.Millisecond

	maxWaiting        = 1024 // requests
	maxWaitingNetwork = 256  // requests of one network
)

// waits are the requests that wait for the watch, and the digests that were asked for in vain. The zero value is ready.
type waits struct {
	digests atomic.Int32 // waited for; it lets the watch pass without a lock

	mu       sync.Mutex
	waiting  map[apikey.Digest]*wait
	networks map[netip.Prefix]int
	total    int

	asked authn.FirstSeen // when a digest was first asked for
}

// wait is what the requests with one digest wait for.
type wait struct {
	changed  chan struct{} // closed when something changes
	requests int
}

// enter makes a request from a network wait for a digest, and returns false if too many wait. It must leave.
func (w *waits) enter(d apikey.Digest, network netip.Prefix) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total >= maxWaiting || w.networks[network] >= maxWaitingNetwork {
		return false
	}
	if w.waiting == nil {
		w.waiting, w.networks = map[apikey.Digest]*wait{}, map[netip.Prefix]int{}
	}
	if w.waiting[d] == nil {
		w.waiting[d] = &wait{changed: make(chan struct{})}
		w.digests.Add(1)
	}
	w.waiting[d].requests++
	w.networks[network]++
	w.total++
	return true
}

// leave ends what enter began.
func (w *waits) leave(d apikey.Digest, network netip.Prefix) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total--
	if w.networks[network]--; w.networks[network] == 0 {
		delete(w.networks, network)
	}
	if w.waiting[d].requests--; w.waiting[d].requests == 0 {
		delete(w.waiting, d)
		w.digests.Add(-1)
	}
}

// changed returns a channel that is closed at the next change that may concern a digest.
func (w *waits) changed(d apikey.Digest) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting[d].changed
}

// gone makes nobody wait for the digests of a key that the watch reports as deleted: they are not new.
func (w *waits) gone(credentials []apikey.Credential) {
	long := time.Now().Add(-maxSilence)
	for _, c := range credentials {
		w.asked.At(c.Digest, long)
	}
}

// wake wakes the requests that wait for these digests.
func (w *waits) wake(credentials []apikey.Credential) {
	if w.digests.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range credentials {
		if waiting := w.waiting[c.Digest]; waiting != nil {
			waiting.wake()
		}
	}
}

// wakeAll wakes all requests.
func (w *waits) wakeAll() {
	if w.digests.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waiting := range w.waiting {
		waiting.wake()
	}
}

func (w *wait) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// count returns how many requests wait.
func (w *waits) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// Await is Lookup for a token that was not found but may be new: another server may have just shown it, or the
// controller may have just delivered it. It waits for up to a second for the watch, less if ctx has a deadline. It does
// not wait for a digest that was first asked for longer than that ago, so a wrong token costs its client one wait.
//
// It returns false only if the API server answered after the digest was first asked for. The error is authn.ErrBehind
// if it cannot tell: the wait ended early, too many requests wait, or the API server does not answer.
func (ix *Index) Await(ctx context.Context, d apikey.Digest, from netip.Addr) (authn.Found, bool, error) {
	if !ix.contact.beating.Load() { // the index was loaded, and nothing more comes
		return ix.Lookup(d)
	}
	now := time.Now()
	asked := ix.waits.asked.At(d, now)
	end := asked.Add(maxWait)
	if !now.Before(end) {
		return ix.lookupSince(d, asked)
	}
	ix.contact.ask()
	network := activity.NetworkOf(from)
	if !ix.waits.enter(d, network) {
		return authn.Found{}, false, authn.ErrBehind
	}
	defer ix.waits.leave(d, network)
	if deadline, ok := ctx.Deadline(); ok {
		end = apikey.Earliest(end, deadline.Add(-deadlineReserve))
	}
	timer := time.NewTimer(end.Sub(now))
	defer timer.Stop()
	found, ok, err := ix.waitFor(ctx, d, timer.C)
	if !ok && errors.Is(err, errWaited) {
		return ix.lookupSince(d, asked)
	}
	return found, ok, err
}

// errWaited means that a wait ended without a result.
var errWaited = errors.New("waited")

// waitFor looks a digest up whenever something changes. The error is errWaited when the timer fires.
func (ix *Index) waitFor(ctx context.Context, d apikey.Digest, timer <-chan time.Time) (authn.Found, bool, error) {
	for {
		changed := ix.waits.changed(d) // before the look-up, so that no change is missed
		found, ok, err := ix.Lookup(d)
		if ok || err != nil && !errors.Is(err, authn.ErrBehind) {
			return found, ok, err
		}
		select {
		case <-changed:
		case <-timer:
			return authn.Found{}, false, errWaited
		case <-ctx.Done():
			return authn.Found{}, false, authn.ErrBehind
		}
	}
}

// lookupSince is Lookup, but it does not call a digest unknown before the wait for it is over, and unless there was
// contact since it was first asked for.
func (ix *Index) lookupSince(d apikey.Digest, asked time.Time) (authn.Found, bool, error) {
	found, ok, err := ix.Lookup(d)
	if !ok && err == nil && (time.Since(asked) < maxWait || !ix.contact.since(asked)) {
		ix.contact.ask()
		return authn.Found{}, false, authn.ErrBehind
	}
	return found, ok, err
}

// Current reports whether the API server has answered recently, or the index does not watch it.
func (ix *Index) Current() bool {
	return !ix.contact.beating.Load() || ix.contact.since(time.Now().Add(-maxSilence))
}
