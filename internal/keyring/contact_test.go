// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func TestAWatchIsContactOnlyOnceItHasCaughtUp(t *testing.T) {
	all := true
	for name, c := range map[string]struct {
		options  metav1.ListOptions
		caughtUp bool
		answers  bool
		after    time.Duration
		want     bool
	}{
		"one that goes on from a list":            {metav1.ListOptions{}, false, true, time.Second, true},
		"but not in its first moment":             {metav1.ListOptions{}, false, true, 0, false},
		"nor when the API server does not answer": {metav1.ListOptions{}, false, false, time.Second, false},
		"one that still sends all there is":       {metav1.ListOptions{SendInitialEvents: &all}, false, true, time.Second, false},
		"one that has sent all there is":          {metav1.ListOptions{SendInitialEvents: &all}, true, true, time.Second, true},
	} {
		var k contact
		begin := time.Now()
		w := watch.NewFake()
		counted := k.watched("x", c.options, w)
		if c.caughtUp {
			k.caughtUp("x")
		}
		at := time.Now().Add(c.after)
		if got := k.well(c.answers, at, "x").Equal(at); got != c.want {
			t.Errorf("%s: in contact is %v", name, got)
		}
		counted.Stop()
		for range counted.ResultChan() {
		}
		for k.watchesOpen("x") {
			if time.Since(begin) > time.Minute {
				t.Fatalf("%s: a stopped watch stays open", name)
			}
		}
		if at := at.Add(time.Hour); k.well(true, at, "x").Equal(at) {
			t.Errorf("%s: a watch that has ended is no contact", name)
		}
	}
}

func (c *contact) watchesOpen(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watches[what].open > 0
}
