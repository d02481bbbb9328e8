// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxReview bounds the body of a review, as controller-runtime does: every ApiKey that the API server accepts fits
	// in. With a lower bound, an author could make a key so large that it is created without a record of them.
	maxReview = 7 << 20
	// usualReview is larger than nearly all reviews.
	usualReview = 64 << 10

	// Reviews that are read and decoded at once take at most about twenty times these bytes. Large ones have a share of
	// their own, so that they do not hold up the usual ones.
	usualReviews = 128 * usualReview
	largeReviews = maxReview

	// reviewTimeout is as long as the API server waits (webhooks.yaml).
	reviewTimeout = 2 * time.Second
)

// bounds limits what callers of the webhooks can make them hold in memory: any Pod can call them. The API server goes
// on without an answer when a limit is reached (failurePolicy Ignore).
type bounds struct{ usual, large *semaphore.Weighted }

func newBounds() bounds {
	return bounds{usual: semaphore.NewWeighted(usualReviews), large: semaphore.NewWeighted(largeReviews)}
}

func (b bounds) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, share := r.ContentLength, b.usual
		switch {
		case size > maxReview:
			http.Error(w, "The review is too large", http.StatusRequestEntityTooLarge)
			return
		case size < 0: // unknown
			size, share = maxReview, b.large
		case size > usualReview:
			share = b.large
		}
		ctx, cancel := context.WithTimeout(r.Context(), reviewTimeout)
		defer cancel()
		if share.Acquire(ctx, max(size, 1)) != nil {
			http.Error(w, "Too many reviews at once", http.StatusServiceUnavailable)
			return
		}
		defer share.Release(max(size, 1))
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(reviewTimeout)) // a slow body frees its share
		r.Body = http.MaxBytesReader(w, r.Body, size)
		next.ServeHTTP(w, r)
	})
}
