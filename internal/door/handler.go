// SPDX-License-Identifier: Apache-2.0

package door

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

const (
	maxBodyBytes = 1 << 20

	// RequestIDHeader is the response header with the ID of the request, which is also in the log.
	RequestIDHeader = "X-Request-Id"
)

// Mounter is an endpoint that adds itself to a mux.
type Mounter interface {
	Mount(mux *http.ServeMux)
}

// Handler returns one handler for all endpoints. Paths without an endpoint get 404.
func Handler(forward *ForwardAuth, endpoints ...Mounter) http.Handler {
	mux := http.NewServeMux()
	for _, e := range endpoints {
		e.Mount(mux)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, "There is nothing at this path", "not_found")
	})
	return forward.Wrap(http.MaxBytesHandler(identified(mux), maxBodyBytes))
}

// MountMethod mounts h for one method of a path. Other methods get 405 with Allow.
func MountMethod(mux *http.ServeMux, method, path string, h http.HandlerFunc) {
	mux.HandleFunc(method+" "+path, h)
	allow := method
	if method == http.MethodGet {
		allow = "GET, HEAD"
	}
	MountNotAllowed(mux, path, allow)
}

// MountNotAllowed answers 405 to the methods of a path that have no handler.
func MountNotAllowed(mux *http.ServeMux, path, allow string) {
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allow)
		writeError(w, http.StatusMethodNotAllowed, "Use "+allow, "method_not_allowed")
	})
}

type contextKey struct{}

// RequestID returns the ID of the request of a context, empty outside of Handler.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

// identified gives every request an ID.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails
		id := hex.EncodeToString(random[:])
		w.Header().Set(RequestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, id)))
	})
}
