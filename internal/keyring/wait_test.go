// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

// watching returns a ready index that is in contact, as one that watches a cluster.
func watching(t *testing.T) *Index {
	t.Helper()
	r := index(t)
	r.contact.beating.Store(true)
	return r
}

// contactNow records that a heartbeat that began now is answered.
func contactNow(r *Index) { r.contact.markHealthy(true, time.Now()) }

type answer struct {
	found authn.Found
	ok    bool
	err   error
	took  time.Duration
}

// await asks for a token and returns the answer when there is one.
func await(ctx context.Context, r *Index, token, from string) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		begin := time.Now()
		found, ok, err := r.Await(ctx, apikey.DigestOf(token), netip.MustParseAddr(from))
		out <- answer{found, ok, err, time.Since(begin)}
	}()
	return out
}

func TestANewTokenIsAcceptedWhenTheWatchDeliversIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t)
		first, second := await(t.Context(), r, "t", "192.0.2.1"), await(t.Context(), r, "t", "192.0.2.2")
		time.Sleep(400 * time.Millisecond)
		must(t, keyStore{index: r}.Add(object("prod", "other", "u", 0, false)))
		must(t, keyStore{index: r}.Add(object("prod", "a", "t", 0, false)))
		for _, c := range []<-chan answer{first, second} {
			if a := <-c; !a.ok || a.err != nil || a.took != 400*time.Millisecond {
				t.Errorf("%+v", a)
			}
		}
		if r.waits.count() != 0 || r.waits.digests.Load() != 0 {
			t.Errorf("%d requests still wait", r.waits.count())
		}
	})
}

func TestATokenOfANewNamespaceIsAcceptedWhenItsTenantIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t)
		must(t, keyStore{index: r}.Add(object("new", "a", "t", 0, false)))
		waiting := await(t.Context(), r, "t", "192.0.2.1")
		time.Sleep(100 * time.Millisecond)
		must(t, namespaceStore{index: r}.Add(namespace("new", "acme")))
		if a := <-waiting; !a.ok || a.found.Principal.Tenant != "acme" || a.took != 100*time.Millisecond {
			t.Errorf("%+v", a)
		}
	})
}

func TestATokenIsUnknownOnlyAfterContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t)
		contactNow(r)
		time.Sleep(time.Millisecond)
		if a := <-await(t.Context(), r, "wrong", "192.0.2.1"); !errors.Is(a.err, authn.ErrBehind) || a.took != maxWait {
			t.Errorf("without contact since: %+v", a)
		}
		select {
		case <-r.contact.prompt:
		default:
			t.Error("nobody asks for a heartbeat")
		}
		if a := <-await(t.Context(), r, "wrong", "192.0.2.1"); !errors.Is(a.err, authn.ErrBehind) || a.took != 0 {
			t.Errorf("asked again: %+v", a)
		}
		contactNow(r)
		if a := <-await(t.Context(), r, "wrong", "192.0.2.1"); a.ok || a.err != nil || a.took != 0 {
			t.Errorf("after contact, a digest does not wait again: %+v", a)
		}
		contact := await(t.Context(), r, "wrong, too", "192.0.2.1")
		time.Sleep(maxWait / 2)
		contactNow(r)
		if a := <-contact; a.ok || a.err != nil || a.took != maxWait {
			t.Errorf("contact while it waits: %+v", a)
		}
	})
}

func TestATokenOfADeletedKeyIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t)
		o := object("prod", "a", "t", 0, false)
		must(t, keyStore{index: r}.Add(o))
		contactNow(r)
		time.Sleep(time.Second)
		must(t, keyStore{index: r}.Delete(o))
		if a := <-await(t.Context(), r, "t", "192.0.2.1"); a.ok || a.err != nil || a.took != 0 {
			t.Errorf("%+v", a)
		}
	})
}

func TestAWaitEndsBeforeTheDeadlineOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if a := <-await(ctx, r, "t", "192.0.2.1"); !errors.Is(a.err, authn.ErrBehind) || a.took != 150*time.Millisecond {
			t.Errorf("%+v", a)
		}
		gone, leave := context.WithCancel(t.Context())
		waiting := await(gone, r, "u", "192.0.2.1")
		time.Sleep(time.Millisecond)
		leave()
		if a := <-waiting; !errors.Is(a.err, authn.ErrBehind) || a.took != time.Millisecond {
			t.Errorf("%+v", a)
		}
	})
}

func TestWaitingRequestsAreBoundedForEachNetworkAndInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := watching(t)
		var waiting []<-chan answer
		for i := range maxWaiting {
			waiting = append(waiting, await(t.Context(), r, fmt.Sprint("t", i), fmt.Sprintf("192.0.%d.1", i/maxWaitingNetwork)))
			synctest.Wait()
			if i == maxWaitingNetwork-1 {
				if a := <-await(t.Context(), r, "t", "192.0.0.1"); !errors.Is(a.err, authn.ErrBehind) || a.took != 0 {
					t.Errorf("a network has no more than its share: %+v", a)
				}
			}
		}
		if a := <-await(t.Context(), r, "t", "203.0.113.1"); !errors.Is(a.err, authn.ErrBehind) || a.took != 0 {
			t.Errorf("too many wait: %+v", a)
		}
		contactNow(r)
		for _, c := range waiting {
			<-c
		}
		if r.waits.count() != 0 || len(r.waits.networks) != 0 || len(r.waits.waiting) != 0 {
			t.Errorf("%+v", &r.waits)
		}
	})
}

func TestAnIndexWithoutContactIsNotCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := index(t)
		if !r.Current() {
			t.Error("a loaded index is complete")
		}
		r.contact.beating.Store(true)
		contactNow(r)
		time.Sleep(maxSilence - time.Millisecond)
		if !r.Current() {
			t.Error("contact was recent")
		}
		time.Sleep(2 * time.Millisecond)
		if r.Current() {
			t.Error("contact was long ago")
		}
	})
}

func TestAWaitCostsTheWatchNothing(t *testing.T) {
	r := watching(t)
	rec := read(object("prod", "a", "t", 0, false))
	if n := testing.AllocsPerRun(100, func() { r.waits.wake(rec.Credentials); r.waits.wakeAll() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
