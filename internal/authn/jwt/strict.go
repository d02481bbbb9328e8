// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// MaxBytes bounds a token.
	MaxBytes = 8 << 10
	maxDepth = 16
)

// header is what the header of a token may say (RFC 7515, section 4.1). What it says about where to
// find keys (jku, x5u, jwk, x5c) is ignored.
type header struct{ algorithm, keyID string }

// errMalformed is all that is said of a token that is not exactly as the standards have it.
var errMalformed = errors.New("malformed")

// inspect reads the header and the issuer of a token and refuses any ambiguity: another reader must
// not see another token. The signature is not looked at.
func inspect(token string) (h header, issuer string, err error) {
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		return header{}, "", errMalformed
	}
	var decoded [3][]byte
	for i, segment := range segments {
		if decoded[i], err = decode(segment); err != nil {
			return header{}, "", err
		}
	}
	head, err := object(decoded[0])
	if err != nil {
		return header{}, "", err
	}
	claims, err := object(decoded[1])
	if err != nil {
		return header{}, "", err
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		if !isDate(claims[name]) {
			return header{}, "", errMalformed
		}
	}
	issuer, _ = claims["iss"].(string)
	h, err = readHeader(head)
	return h, issuer, err
}

// lastSecond is the end of the year 9998 in Unix seconds. A later date is an error, often milliseconds.
const lastSecond = 253370764799

// isDate reports whether a claim is absent, or a NumericDate (RFC 7519, section 2) between the years 1970 and 9998. The
// library would convert any number, and a huge one becomes any date.
func isDate(claim any) bool {
	if claim == nil {
		return true
	}
	number, ok := claim.(json.Number)
	if !ok {
		return false
	}
	seconds, err := number.Float64()
	return err == nil && seconds >= 0 && seconds <= lastSecond
}

// decode reads a segment: base64url without padding, and nothing else. The library would skip line
// breaks.
func decode(segment string) ([]byte, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if segment == "" || strings.ContainsFunc(segment, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }) {
		return nil, errMalformed
	}
	out, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, errMalformed
	}
	return out, nil
}

func readHeader(head map[string]any) (header, error) {
	for _, extension := range []string{"crit", "b64", "zip"} { // we understand no extension
		if _, ok := head[extension]; ok {
			return header{}, errMalformed
		}
	}
	var h header
	var ok bool
	if h.algorithm, ok = head["alg"].(string); !ok || h.algorithm == "" {
		return header{}, errMalformed
	}
	if kid, there := head["kid"]; there {
		if h.keyID, ok = kid.(string); !ok {
			return header{}, errMalformed
		}
	}
	if typ, there := head["typ"]; there {
		name, _ := typ.(string)
		switch strings.TrimPrefix(strings.ToLower(name), "application/") {
		case "jwt", "at+jwt": // RFC 7519, section 5.1; RFC 9068, section 2.1
		default:
			return header{}, errMalformed
		}
	}
	return h, nil
}

// object reads one JSON object: valid UTF-8, no name twice at any depth, nothing behind it.
func object(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errMalformed
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, errMalformed
	}
	out, ok := v.(map[string]any)
	if _, err := d.Token(); !ok || !errors.Is(err, io.EOF) {
		return nil, errMalformed
	}
	return out, nil
}

// value reads the next JSON value.
func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return nil, errMalformed
	}
	switch t {
	case json.Delim('{'):
		return members(d, depth)
	case json.Delim('['):
		var list []any
		for d.More() {
			v, err := value(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return t, nil
}

func members(d *json.Decoder, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := name.(string)
		if _, twice := out[key]; twice || !ok {
			return nil, errMalformed
		}
		if out[key], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}
