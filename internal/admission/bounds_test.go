// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"io"
	"net/http"
	"net/http/httptest"
	runtimepkg "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

func TestALargeReviewIsNotRead(t *testing.T) {
	var read atomic.Int64
	h := newBounds().handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
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
		{"one of unknown size is read up to the limit", 9 << 20, true, http.StatusOK},
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
	for _, c := range []struct {
		name           string
		size           int64
		sent, atOnce   int64
		alongsideSmall bool
	}{
		{"usual reviews", usualReview, 200, 128, false},
		{"large reviews", maxReview, 5, 1, true},
		{"reviews of unknown size", -1, 5, 1, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var now, most, refused atomic.Int64
			release := make(chan struct{})
			h := newBounds().handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.ContentLength == 1 {
					return
				}
				most.Store(max(most.Load(), now.Add(1)))
				<-release
				now.Add(-1)
			}))
			send := func(size int64) int {
				r, w := httptest.NewRequest(http.MethodPost, "/", nil), httptest.NewRecorder()
				r.ContentLength = size
				h.ServeHTTP(w, r)
				return w.Code
			}
			var all sync.WaitGroup
			for range c.sent {
				all.Go(func() {
					if send(c.size) == http.StatusServiceUnavailable {
						refused.Add(1)
					}
				})
			}
			synctest.Wait()
			if c.alongsideSmall && send(1) != http.StatusOK {
				t.Errorf("%s hold up the usual ones", c.name)
			}
			time.Sleep(reviewTimeout + time.Second)
			close(release)
			all.Wait()
			if most.Load() != c.atOnce || refused.Load() != c.sent-c.atOnce {
				t.Errorf("%s: %d at once, %d refused", c.name, most.Load(), refused.Load())
			}
		})
	}
}

// TestAReviewTakesLittleMoreThanItsBytes is about bodies that Go decodes into much more: lists of empty objects.
func TestAReviewTakesLittleMoreThanItsBytes(t *testing.T) {
	many := strings.Repeat("{},", 300_000) + "{}"
	for name, object := range map[string]string{
		"managed fields": `{"metadata":{"managedFields":[` + many + `]}}`,
		"owners":         `{"metadata":{"ownerReferences":[` + many + `]}}`,
		"credentials":    `{"status":{"credentials":[` + many + `]}}`,
		"conditions":     `{"status":{"conditions":[` + many + `]}}`,
		"digests":        `{"spec":{"digests":[` + many + `]}}`,
		"restarts":       `{"spec":{"secret":{"restart":[` + many + `]}}}`,
	} {
		req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Object: runtime.RawExtension{Raw: []byte(object)}}}
		for kind, review := range map[string]admission.HandlerFunc{"mutate": recordAuthor, "validate": reviewer().review} {
			var before, after runtimepkg.MemStats
			runtimepkg.ReadMemStats(&before)
			review(t.Context(), req)
			runtimepkg.ReadMemStats(&after)
			if times := (after.TotalAlloc - before.TotalAlloc) / uint64(len(object)); times > 5 {
				t.Errorf("%s, %s: allocates %d times the body", kind, name, times)
			}
		}
	}
}
