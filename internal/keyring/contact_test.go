// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func TestContactNeedsOpenWatchesThatHaveCaughtUp(t *testing.T) {
	all := true
	for _, c := range []struct {
		name     string
		options  metav1.ListOptions
		caughtUp bool
		answers  bool
		after    time.Duration
		want     bool
	}{
		{"a watch that continues from a list is in contact", metav1.ListOptions{}, false, true, time.Second, true},
		{"a watch that has just opened is not in contact yet", metav1.ListOptions{}, false, true, 0, false},
		{"an API server that does not answer is not in contact", metav1.ListOptions{}, false, false, time.Second, false},
		{"a watch that still sends the initial objects is not in contact", metav1.ListOptions{SendInitialEvents: &all}, false, true, time.Second, false},
		{"a watch that has sent the initial objects is in contact", metav1.ListOptions{SendInitialEvents: &all}, true, true, time.Second, true},
	} {
		var k contact
		begin := time.Now()
		w := watch.NewFake()
		counted := k.watched("x", c.options, w)
		if c.caughtUp {
			k.caughtUp("x")
		}
		at := time.Now().Add(c.after)
		if got := k.markHealthy(c.answers, at, "x").Equal(at); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
		counted.Stop()
		for range counted.ResultChan() {
		}
		for k.watchesOpen("x") {
			if time.Since(begin) > time.Minute {
				t.Fatalf("%s: a stopped watch stays open", c.name)
			}
		}
		if at := at.Add(time.Hour); k.markHealthy(true, at, "x").Equal(at) {
			t.Errorf("%s: a watch that has ended is still in contact", c.name)
		}
	}
}

func TestTheFirstListIsNotOlderThanItsRequest(t *testing.T) {
	for asked, want := range map[string]string{"0": "", "": "", "12": "12"} {
		if got := consistent(metav1.ListOptions{ResourceVersion: asked}).ResourceVersion; got != want {
			t.Errorf("resource version %q: got %q, want %q", asked, got, want)
		}
	}
}

func (c *contact) watchesOpen(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watches[what].open > 0
}
