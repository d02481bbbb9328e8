// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

const (
	maxCheckBytes   = 128 << 10
	maxStreams      = 1000
	maxConnIdle     = 10 * time.Minute
	checkTimeout    = 10 * time.Second
	maxCheckHeaders = 32 << 10
)

// extAuthz is the door of Envoy, and of what is built on it: envoy.service.auth.v3.Authorization.
type extAuthz struct {
	authv3.UnimplementedAuthorizationServer
	server *Server
}

// underscored are names that some backends take for the identity headers: CGI and WSGI write
// X-Auth-User, X_Auth_User and X-Auth_User all as X_AUTH_USER.
var underscored = func() (out []string) {
	for _, name := range identity {
		a, b, c := splitName(name)
		out = append(out, a+"_"+b+"_"+c, a+"-"+b+"_"+c, a+"_"+b+"-"+c)
	}
	return out
}()

// splitName returns the three words of an identity header, in lower case.
func splitName(name string) (a, b, c string) {
	words := strings.SplitN(strings.ToLower(name), "-", 3)
	return words[0], words[1], words[2]
}

// ServeExtAuthz answers gRPC over TLS on the listener until ctx is done.
func (s *Server) ServeExtAuthz(ctx context.Context, l net.Listener, config *tls.Config) error {
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.MaxRecvMsgSize(maxCheckBytes), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(checkTimeout), grpc.MaxHeaderListSize(maxCheckHeaders),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: maxConnIdle}))
	authv3.RegisterAuthorizationServer(srv, &extAuthz{server: s})
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve ext_authz on %s: %w", l.Addr(), err)
	case <-ctx.Done():
		drained := make(chan struct{})
		go func() { srv.GracefulStop(); close(drained) }()
		select {
		case <-drained:
		case <-time.After(drainTimeout):
			srv.Stop()
		}
		return nil
	}
}

// Check implements authv3.AuthorizationServer. A denial is a denied response, never an error: what
// Envoy does on errors is for its configuration to say.
func (e *extAuthz) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	attributes := in.GetAttributes()
	rules, err := requirements(demands(attributes.GetContextExtensions()))
	if err != nil {
		if e.server.diary.limit.Allow() {
			e.server.Log.WarnContext(ctx, "ext_authz: context_extensions cannot be read, so nobody gets through", "error", err)
		}
		return refuse(misconfigured), nil
	}
	token, denied := bearerOf(attributes.GetRequest().GetHttp())
	address := attributes.GetSource().GetAddress().GetSocketAddress().GetAddress()
	from, _ := netip.ParseAddr(address) // what is none is in no network
	from = e.server.through(from.Unmap(), attributes.GetRequest().GetHttp().GetHeaders()["x-forwarded-for"])
	p, denied, err := e.server.judge(ctx, presented{door: ExtAuthz, token: token, denied: denied, from: from, route: "Check", peer: address}, rules...)
	switch {
	case err != nil:
		return refuse(undecidedAnswer), nil //nolint:nilerr // undecided, counted and told by judge
	case denied.Denied():
		return refuse(refusals[denied.Code()]), nil
	}
	return admit(&p), nil
}

// demands reads context extensions: each has one or more values separated by spaces. None is a
// mistake: an empty value must not open a route.
func demands(extensions map[string]string) url.Values {
	out := make(url.Values, len(extensions))
	for name, value := range extensions {
		if out[name] = strings.Fields(value); len(out[name]) == 0 {
			out[name] = []string{""}
		}
	}
	return out
}

// bearerOf returns the one credential of a request that Envoy asks about.
func bearerOf(r *authv3.AttributeContext_HttpRequest) (string, authn.Denial) {
	ambiguous := authn.Deny(denial.Ambiguous)
	if _, query, ok := strings.Cut(r.GetPath(), "?"); ok && strings.Contains(query, "access_token=") || strings.Contains(r.GetHeaders()["cookie"], "access_token=") {
		return "", ambiguous
	}
	value, found := r.GetHeaders()["authorization"]   // Envoy joins several by a comma, which no token has
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
	return credential(value)
}

// admit lets a request through with the identity headers, in place of what the client sent.
func admit(p *authn.Principal) *authv3.CheckResponse {
	values := identify(p)
	ok := &authv3.OkHttpResponse{Headers: make([]*corev3.HeaderValueOption, 0, len(identity)), HeadersToRemove: underscored}
	for i, name := range identity {
		if values[i] == "" {
			ok.HeadersToRemove = append(ok.HeadersToRemove[:len(ok.HeadersToRemove):len(ok.HeadersToRemove)], strings.ToLower(name))
			continue
		}
		ok.Headers = append(ok.Headers, header(name, values[i]))
	}
	return &authv3.CheckResponse{Status: &status.Status{Code: int32(codes.OK)}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}
}

func header(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: strings.ToLower(name), Value: value}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}
}

// misconfigured is what is said of a route whose demands cannot be read.
var misconfigured = newRefusal(http.StatusForbidden, Failure{"Forbidden", "This route is misconfigured", "bad_request"}, "")

// grpcCodes are the codes of our statuses (google.rpc.Code).
var grpcCodes = map[int]codes.Code{http.StatusUnauthorized: codes.Unauthenticated, http.StatusForbidden: codes.PermissionDenied, http.StatusServiceUnavailable: codes.Unavailable}

// refuse is a denied response.
func refuse(r refusal) *authv3.CheckResponse {
	headers := []*corev3.HeaderValueOption{header("content-type", "application/json"), header("cache-control", "no-store")}
	for _, c := range r.challenge {
		headers = append(headers, header("www-authenticate", c))
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(grpcCodes[r.status]), Message: r.message}, //nolint:gosec // codes are small
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(r.status)}, //nolint:gosec // likewise
			Headers: headers, Body: string(r.body),
		}},
	}
}
