// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// originals are the headers in which proxies tell of the request that they ask about.
var originals = []string{"X-Original-Uri", "X-Original-Url", "X-Forwarded-Uri"}

// bearer returns the one credential of a request (RFC 6750, section 2.1). More than one, in
// whatever place, is a denial: two readers might each take another. The credential is empty when
// there is none.
func bearer(r *http.Request) (string, authn.Denial) {
	headers := r.Header["Authorization"]
	switch {
	case len(headers) > 1, elsewhere(r):
		return "", authn.Deny(denial.Ambiguous)
	case len(headers) == 0:
		return "", authn.Deny(denial.Missing)
	}
	return credential(headers[0])
}

// elsewhere reports whether the request, or the one that a proxy asks about, has a credential in
// its query or a cookie. Section 2.3 of the RFC allows the query; it ends up in logs and histories.
func elsewhere(r *http.Request) bool {
	if r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
		return true
	}
	for _, c := range r.Header["Cookie"] {
		if strings.Contains(c, "access_token=") {
			return true
		}
	}
	for _, name := range originals {
		for _, uri := range r.Header[name] {
			if _, query, ok := strings.Cut(uri, "?"); ok && strings.Contains(query, "access_token=") {
				return true
			}
		}
	}
	return false
}

// credential reads the value of an Authorization header.
func credential(header string) (string, authn.Denial) {
	scheme, token, ok := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", authn.Deny(denial.Scheme)
	}
	token = strings.Trim(token, " ")
	if !ok || token == "" {
		return "", authn.Deny(denial.Missing)
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c == ',' || c >= 0x7f {
			return "", authn.Deny(denial.Malformed)
		}
	}
	return token, authn.Denial{}
}

// client returns the address that the request came from: the peer's, or, when that is a trusted
// proxy, the rightmost of X-Forwarded-For that is not one. What cannot be read is no address.
func (s *Server) client(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return s.through(at.Addr().Unmap(), strings.Join(r.Header["X-Forwarded-For"], ","))
}

// through returns whom a chain of trusted proxies names, when the peer is one.
func (s *Server) through(from netip.Addr, forwarded string) netip.Addr {
	if !within(s.TrustedProxies, from) {
		return from
	}
	hops := strings.Split(forwarded, ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if hop == "" && len(hops) == 1 {
			return from // the proxy itself asks
		}
		address, err := netip.ParseAddr(hop)
		if err != nil {
			return netip.Addr{}
		}
		if from = address.Unmap(); !within(s.TrustedProxies, from) {
			return from
		}
	}
	return from
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
