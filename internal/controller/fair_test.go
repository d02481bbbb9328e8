// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

func TestNamespacesAreServedInTurn(t *testing.T) {
	q := fairQueue("test", workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Millisecond, time.Second))
	defer q.ShutDown()
	for i := range 1000 {
		q.Add(request("noisy", fmt.Sprint(i)))
	}
	q.Add(request("noisy", "0")) // waits already
	q.Add(request("quiet", "a"))
	q.Add(request("other", "b"))
	q.Add(request("quiet", "c"))
	var got []string
	for range 1003 {
		item, _ := q.Get()
		got = append(got, item.String())
		q.Done(item)
	}
	if want := []string{"noisy/0", "quiet/a", "other/b", "noisy/1", "quiet/c", "noisy/2", "noisy/3"}; !slices.Equal(got[:7], want) {
		t.Errorf("got %v, want %v", got[:7], want)
	}
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 1003 || q.Len() != 0 {
		t.Errorf("%d of 1003 came out, %d are left", n, q.Len())
	}
}

func TestARetryWaitsAndThenHasItsTurn(t *testing.T) {
	q := fairQueue("test", workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, time.Second))
	defer q.ShutDown()
	q.AddRateLimited(request("a", "late"))
	q.Add(request("a", "now"))
	first, _ := q.Get()
	q.Done(first)
	second, _ := q.Get()
	if first.Name != "now" || second.Name != "late" {
		t.Errorf("got %s, then %s", first.Name, second.Name)
	}
}
