// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"net/http"
	"time"
)

const (
	// maxReview bounds the body of a review: two ApiKeys, each with annotations as large as Kubernetes allows (256 KiB),
	// fit in.
	maxReview = 1 << 20
	// maxReviews bounds how many reviews are read and decoded at once, and with maxReview the memory that they take.
	maxReviews = 64
	// reviewTimeout is as long as the API server waits (webhooks.yaml).
	reviewTimeout = 2 * time.Second
)

// bounded limits what callers of a webhook can make it hold in memory: any Pod can call it. The API server goes on
// without an answer when a limit is reached (failurePolicy Ignore).
func bounded(next http.Handler) http.Handler {
	slots := make(chan struct{}, maxReviews)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxReview {
			http.Error(w, "The review is too large", http.StatusRequestEntityTooLarge)
			return
		}
		late := time.NewTimer(reviewTimeout)
		defer late.Stop()
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-late.C:
			http.Error(w, "Too many reviews at once", http.StatusServiceUnavailable)
			return
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(reviewTimeout)) // a slow body frees its slot
		r.Body = http.MaxBytesReader(w, r.Body, maxReview)
		next.ServeHTTP(w, r)
	})
}
