// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/kaana/apikey-operator/internal/door"
)

const (
	maxCheckBytes   = 128 << 10
	maxStreams      = 1000
	maxConnIdle     = 10 * time.Minute
	connectTimeout  = 10 * time.Second
	maxCheckHeaders = 32 << 10
	workers         = 32 // goroutines that check; a request that finds them all busy gets one of its own
)

// Serve serves gRPC over TLS on the listener until ctx is done. Then it waits for pending requests, at most
// door.DrainTimeout.
func (e *ExtAuthz) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)),
		grpc.MaxRecvMsgSize(maxCheckBytes), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(connectTimeout), grpc.MaxHeaderListSize(maxCheckHeaders),
		grpc.NumStreamWorkers(workers), // whose stacks have grown; growing one took an eighth of the CPU of a check
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: maxConnIdle}))
	authv3.RegisterAuthorizationServer(srv, e)
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
		case <-time.After(door.DrainTimeout):
			srv.Stop()
		}
		return nil
	}
}
