// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/door"
)

// oneKey is an index with one key, whose token is "good" and which may be limited to networks.
type oneKey struct{ networks []netip.Prefix }

func (oneKey) Ready() bool                     { return true }
func (oneKey) Current() bool                   { return true }
func (oneKey) Projects(string) []authn.Project { return nil }
func (k oneKey) Await(_ context.Context, d apikey.Digest, _ netip.Addr) (authn.Found, bool, error) {
	return k.Lookup(d)
}
func (k oneKey) Lookup(d apikey.Digest) (authn.Found, bool, error) {
	return authn.Found{Key: apikey.Key{State: apikey.Active, Networks: k.networks}, Credential: apikey.Credential{Phase: apikey.Current},
		Principal: authn.Principal{Role: authn.Member, Tenant: "acme", Method: authn.APIKey, Scopes: "a b", Key: authn.KeyRef{Namespace: "prod", Name: "k"}}}, d == apikey.DigestOf("good"), nil
}

func extAuthz(t testing.TB, networks []netip.Prefix) *ExtAuthz {
	t.Helper()
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	v := &authn.Verifier{Format: format, Now: time.Now, Keys: oneKey{networks}}
	return &ExtAuthz{Auth: door.NewAuthenticator(v, &door.Metrics{}, nil, slog.New(slog.DiscardHandler), time.Now)}
}

func TestATrustedEnvoyNamesTheClient(t *testing.T) {
	for name, c := range map[string]struct {
		peer, forwarded string
		want            bool
	}{
		"a trusted proxy names a client of the network": {"10.0.0.1", "192.0.2.7", true},
		"and one outside of it":                         {"10.0.0.1", "198.51.100.7", false},
		"what the client wrote before does not count":   {"10.0.0.1", "192.0.2.7, 198.51.100.7", false},
		"nobody believes a stranger":                    {"198.51.100.7", "192.0.2.7", false},
		"a stranger of the network is itself":           {"192.0.2.7", "198.51.100.7", true},
		"garbage is no address":                         {"10.0.0.1", "x", false},
		"a proxy that forwards for nobody is itself":    {"10.0.0.1", "", false},
	} {
		e := extAuthz(t, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
		e.Proxies = door.TrustedProxies{netip.MustParsePrefix("10.0.0.0/8")}
		headers := map[string]string{"authorization": "Bearer good"}
		if c.forwarded != "" {
			headers["x-forwarded-for"] = c.forwarded
		}
		answer, err := e.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Source:  &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: c.peer}}}},
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Headers: headers}},
		}})
		if err != nil || (answer.GetOkResponse() != nil) != c.want {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
}

// FuzzCheckRequest checks that no request gets an error, and that only the valid token is let through.
func FuzzCheckRequest(f *testing.F) {
	for _, header := range []string{"Bearer good", "bearer good", "Bearer bad", "Bearer good,Bearer good", ""} {
		b, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{ContextExtensions: map[string]string{"scope": "a"},
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Path: "/?a=b", Headers: map[string]string{"authorization": header}}}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in authv3.CheckRequest
		if proto.Unmarshal(b, &in) != nil {
			return // grpc-go refuses it before us
		}
		resp, err := extAuthz(t, nil).Check(t.Context(), &in)
		if err != nil || resp.GetOkResponse() == nil && resp.GetDeniedResponse() == nil {
			t.Fatalf("%v %v", resp, err)
		}
		if resp.GetOkResponse() != nil && !strings.Contains(in.String(), "good") {
			t.Errorf("%v is let through", &in)
		}
	})
}

func TestAnIdentityHeaderInAnotherSpellingIsRefused(t *testing.T) {
	e := extAuthz(t, nil)
	for name, want := range map[string]bool{"x-auth-user": true, "x-other": true, "x_auth_user": false, "x.auth.role": false, "x-auth~scopes": false} {
		for _, raw := range []bool{false, true} {
			http := &authv3.AttributeContext_HttpRequest{Headers: map[string]string{"authorization": "Bearer good", name: "root"}}
			if raw {
				http = &authv3.AttributeContext_HttpRequest{HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
					{Key: "authorization", RawValue: []byte("Bearer good")}, {Key: name, RawValue: []byte("root")}}}}
			}
			answer, err := e.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http}}})
			if err != nil || (answer.GetOkResponse() != nil) != want {
				t.Errorf("%s (raw: %v): %v, %v", name, raw, answer, err)
			}
		}
	}
}
