// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net/http"
	"net/netip"
	"strings"
)

// TrustedProxies are the networks of the proxies whose X-Forwarded-For is trusted.
type TrustedProxies []netip.Prefix

// Client returns the address of the client of a request: the peer's address or, if the peer is a trusted proxy, the
// rightmost address in X-Forwarded-For that is not a trusted proxy. It is the zero address if it cannot be parsed.
func (t TrustedProxies) Client(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return t.Resolve(at.Addr().Unmap(), strings.Join(r.Header["X-Forwarded-For"], ","))
}

// Resolve returns the address of the client, given the peer's address and the value of X-Forwarded-For.
func (t TrustedProxies) Resolve(from netip.Addr, forwarded string) netip.Addr {
	if !t.contains(from) {
		return from
	}
	hops := strings.Split(forwarded, ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if hop == "" && len(hops) == 1 {
			return from // the proxy itself is the client
		}
		address, err := netip.ParseAddr(hop)
		if err != nil {
			return netip.Addr{}
		}
		if from = address.Unmap(); !t.contains(from) {
			return from
		}
	}
	return from
}

func (t TrustedProxies) contains(a netip.Addr) bool {
	for _, network := range t {
		if network.Contains(a) {
			return true
		}
	}
	return false
}
