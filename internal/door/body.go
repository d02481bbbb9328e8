// SPDX-License-Identifier: Apache-2.0

package door

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// readJSON reads a JSON body of at most limit bytes. If it cannot, it writes 400, 413 or 415 and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, into any) bool {
	if !contentType(w, r, "application/json") {
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	if err := d.Decode(into); err != nil {
		writeBodyError(w, err)
		return false
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // More would not see a bracket
		writeError(w, http.StatusBadRequest, "Want one JSON object and nothing behind it", "bad_request")
		return false
	}
	return true
}

// readForm reads a form of at most limit bytes into r.PostForm. If it cannot, it writes 400, 413 or 415 and returns
// false.
func readForm(w http.ResponseWriter, r *http.Request, limit int64) bool {
	if !contentType(w, r, "application/x-www-form-urlencoded") {
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if err := r.ParseForm(); err != nil {
		writeBodyError(w, err)
		return false
	}
	return true
}

// contentType reports whether the body has the wanted media type. If not, it writes 415.
func contentType(w http.ResponseWriter, r *http.Request, want string) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != want {
		writeError(w, http.StatusUnsupportedMediaType, "Want "+want, "unsupported_media_type")
		return false
	}
	return true
}

// writeBodyError writes the response to a body that could not be read.
func writeBodyError(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		writeError(w, http.StatusRequestEntityTooLarge, "The body is too large", "too_large")
		return
	}
	writeError(w, http.StatusBadRequest, "The body cannot be read", "bad_request")
}
