// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// fairQueue returns the controller's work queue. It takes Namespaces in turn, so that one with fifty
// thousand ApiKeys costs the others no more than every other turn. Retries keep their pauses.
func fairQueue(
	name string,
	pauses workqueue.TypedRateLimiter[reconcile.Request],
) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	turns := workqueue.NewTypedWithConfig(
		workqueue.TypedQueueConfig[reconcile.Request]{Name: name, Queue: &roundRobin{lines: map[string]*line{}}},
	)
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		pauses,
		workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{
			Name: name,
			DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(
				workqueue.TypedDelayingQueueConfig[reconcile.Request]{Name: name, Queue: turns},
			),
		},
	)
}

// roundRobin implements workqueue.Queue: a line for each Namespace, served in turn. The work queue
// around it locks.
type roundRobin struct {
	lines map[string]*line
	turn  []string // Namespaces with a line, the next first
	size  int
}

// line is a first-in, first-out queue.
type line struct{ items []reconcile.Request }

// Touch implements workqueue.Queue: who waits already keeps their place.
func (*roundRobin) Touch(reconcile.Request) {}

// Push implements workqueue.Queue.
func (q *roundRobin) Push(item reconcile.Request) {
	l := q.lines[item.Namespace]
	if l == nil {
		l = &line{}
		q.lines[item.Namespace] = l
		q.turn = append(q.turn, item.Namespace)
	}
	l.items = append(l.items, item)
	q.size++
}

// Len implements workqueue.Queue.
func (q *roundRobin) Len() int { return q.size }

// Pop implements workqueue.Queue. It is called only when Len is not 0.
func (q *roundRobin) Pop() reconcile.Request {
	namespace := q.turn[0]
	q.turn[0] = "" // not kept alive by the array behind the slice
	q.turn = q.turn[1:]
	l := q.lines[namespace]
	item := l.items[0]
	l.items[0] = reconcile.Request{}
	l.items = l.items[1:]
	if len(l.items) == 0 {
		delete(q.lines, namespace)
	} else {
		q.turn = append(q.turn, namespace)
	}
	q.size--
	return item
}
