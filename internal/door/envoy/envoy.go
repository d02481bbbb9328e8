// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/door"
)

// ExtAuthz implements envoy.service.auth.v3.Authorization.
type ExtAuthz struct {
	authv3.UnimplementedAuthorizationServer
	Auth    *door.Authenticator
	Proxies door.TrustedProxies
}

// Check implements authv3.AuthorizationServer. A denial is a denied response and never an error, because Envoy's
// configuration decides what happens on errors.
func (e *ExtAuthz) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	attributes := in.GetAttributes()
	rules, err := door.Requirements(requirements(attributes.GetContextExtensions()))
	if err != nil {
		e.Auth.LogMisconfigured(ctx, "ext_authz: cannot read context_extensions; all requests of the route are denied", err)
		return denied(misconfigured), nil
	}
	request := attributes.GetRequest().GetHttp()
	peer := attributes.GetSource().GetAddress().GetSocketAddress().GetAddress()
	from, _ := netip.ParseAddr(peer) // the zero address, which is in no network, if it cannot be parsed
	at := door.Attempt{Endpoint: door.EndpointExtAuthz, Route: "Check", Peer: peer}
	at.From = e.Proxies.Resolve(from.Unmap(), request.GetHeaders()["x-forwarded-for"])
	at.Token, at.Denied = credential(request)
	if spoofed(request) {
		at.Denied = authn.Deny(denial.Spoofed)
	}
	p, verdict, err := e.Auth.Authenticate(ctx, at, rules...)
	if refusal := door.RefusalFor(verdict, err); refusal != nil {
		return denied(refusal), nil // also if undecided, which Authenticate has logged
	}
	return allowed(&p), nil
}

// requirements converts context extensions: each has one or more values, separated by spaces. An empty one becomes an
// empty value, which is an error, because a mistake must not open a route.
func requirements(extensions map[string]string) url.Values {
	out := make(url.Values, len(extensions))
	for name, value := range extensions {
		if out[name] = strings.Fields(value); len(out[name]) == 0 {
			out[name] = []string{""}
		}
	}
	return out
}

// spoofed reports whether the client sent an identity header in another spelling.
func spoofed(r *authv3.AttributeContext_HttpRequest) bool {
	for name := range r.GetHeaders() {
		if door.Spoofs(name) {
			return true
		}
	}
	return slices.ContainsFunc(r.GetHeaderMap().GetHeaders(), func(h *corev3.HeaderValue) bool {
		return door.Spoofs(h.GetKey())
	})
}

// credential returns the one credential of the request that Envoy asks about.
func credential(r *authv3.AttributeContext_HttpRequest) (string, authn.Denial) {
	ambiguous := authn.Deny(denial.Ambiguous)
	if _, query, ok := strings.Cut(r.GetPath(), "?"); ok && strings.Contains(query, "access_token=") {
		return "", ambiguous
	}
	if strings.Contains(r.GetHeaders()["cookie"], "access_token=") {
		return "", ambiguous
	}
	value, found := r.GetHeaders()["authorization"]   // Envoy joins several with commas, which no token contains
	for _, h := range r.GetHeaderMap().GetHeaders() { // with encode_raw_headers
		if !strings.EqualFold(h.GetKey(), "authorization") {
			continue
		}
		if found {
			return "", ambiguous
		}
		if value, found = h.GetValue(), true; value == "" {
			value = string(h.GetRawValue())
		}
	}
	if !found {
		return "", authn.Deny(denial.Missing)
	}
	return door.ParseAuthorization(value)
}

// removed are the names of what no backend may see: the credential, and what some confuse with the identity headers.
// CGI and WSGI write X-Auth-User, X_Auth_User and X-Auth_User all as X_AUTH_USER.
var removed = func() []string {
	out := []string{"authorization"}
	for _, name := range door.IdentityHeaders {
		w := strings.SplitN(strings.ToLower(name), "-", 3)
		out = append(out, w[0]+"_"+w[1]+"_"+w[2], w[0]+"-"+w[1]+"_"+w[2], w[0]+"_"+w[1]+"-"+w[2])
	}
	return out
}()

// allowed lets a request through with the identity headers, which replace those that the client sent, and without the
// credential.
func allowed(p *authn.Principal) *authv3.CheckResponse {
	values := door.Identity(p)
	ok := &authv3.OkHttpResponse{
		Headers:         make([]*corev3.HeaderValueOption, 0, len(door.IdentityHeaders)),
		HeadersToRemove: removed[:len(removed):len(removed)],
	}
	for i, name := range door.IdentityHeaders {
		if values[i] == "" {
			ok.HeadersToRemove = append(ok.HeadersToRemove, strings.ToLower(name))
			continue
		}
		ok.Headers = append(ok.Headers, header(name, values[i]))
	}
	return &authv3.CheckResponse{
		Status:       &status.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}
}

func header(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: strings.ToLower(name), Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// misconfigured is the response to all requests of a route whose requirements cannot be read.
var misconfigured = door.NewRefusal(http.StatusForbidden,
	door.Failure{Error: "Forbidden", Message: "This route is misconfigured", Code: "bad_request"}, "")

// grpcCodes maps the HTTP statuses of refusals to google.rpc.Code.
var grpcCodes = map[int]codes.Code{
	http.StatusUnauthorized:       codes.Unauthenticated,
	http.StatusForbidden:          codes.PermissionDenied,
	http.StatusServiceUnavailable: codes.Unavailable,
}

// denied converts a refusal.
func denied(r *door.Refusal) *authv3.CheckResponse {
	headers := []*corev3.HeaderValueOption{
		header("content-type", "application/json"),
		header("cache-control", "no-store"),
	}
	for _, c := range r.Challenge {
		headers = append(headers, header("www-authenticate", c))
	}
	for _, seconds := range r.Retry {
		headers = append(headers, header("retry-after", seconds))
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(grpcCodes[r.Status]), Message: r.Message}, //nolint:gosec // codes are small
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(r.Status)}, //nolint:gosec // statuses are small
			Headers: headers, Body: string(r.Body),
		}},
	}
}
