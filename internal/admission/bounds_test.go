// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestALargeReviewIsNotRead(t *testing.T) {
	var read atomic.Int64
	h := bounded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		read.Add(n)
	}))
	for _, c := range []struct {
		name    string
		size    int64
		chunked bool
		status  int
	}{
		{"a review of the allowed size is read", maxReview, false, http.StatusOK},
		{"a larger one is refused before it is read", maxReview + 1, false, http.StatusRequestEntityTooLarge},
		{"one of unknown size is read up to the limit", 7 << 20, true, http.StatusOK},
	} {
		read.Store(0)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", int(c.size))))
		if c.chunked {
			r.ContentLength = -1
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || read.Load() > maxReview {
			t.Errorf("%s: status %d, %d bytes read", c.name, w.Code, read.Load())
		}
	}
}

func TestOnlySomeReviewsAreReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, refused atomic.Int64
		release := make(chan struct{})
		h := bounded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			<-release
			now.Add(-1)
		}))
		var all sync.WaitGroup
		for range maxReviews + 10 {
			all.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
				if w.Code == http.StatusServiceUnavailable {
					refused.Add(1)
				}
			})
		}
		time.Sleep(reviewTimeout + time.Second)
		close(release)
		all.Wait()
		if most.Load() != maxReviews || refused.Load() != 10 {
			t.Errorf("%d at once, %d refused", most.Load(), refused.Load())
		}
	})
}
