// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestProfilesAreServedOnlyWhenTheyAreOn(t *testing.T) {
	for on, want := range map[bool]int{false: 404, true: 200} {
		h := metricsHandler(prometheus.NewRegistry(), on)
		for path, want := range map[string]int{"/metrics": 200, "/debug/pprof/": want, "/debug/pprof/heap": want, "/debug/pprof/cmdline": want} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != want {
				t.Errorf("profiling %v: %s: %d, want %d", on, path, w.Code, want)
			}
		}
	}
}
