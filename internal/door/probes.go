// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/http"

	"github.com/kaana/apikey-operator/internal/authn"
)

// Probes are the endpoints of the kubelet's probes: /healthz, and /readyz once the server can give verdicts.
type Probes struct {
	Ready func() bool
}

// Mount adds the endpoints to a mux.
func (p Probes) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !p.Ready() {
			http.Error(w, authn.ErrUnsynced.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
}
