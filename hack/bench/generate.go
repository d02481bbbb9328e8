// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

const (
	connections = 32
	warmUp      = 500 * time.Millisecond
	spread      = 4096 // of the keys are asked for
)

// generate asks for as long as the window is, and prints the figures.
func generate(what, address string, keys int) error {
	credentialOf, err := credentialsOf(what, keys)
	if err != nil {
		return err
	}
	ask := overHTTP(what, address)
	if what == "grpc" {
		if ask, err = overGRPC(address); err != nil {
			return err
		}
	}
	results := make([]result, connections)
	begin := time.Now()
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() { results[c] = drive(ask, credentialOf, c, begin.Add(warmUp), begin.Add(warmUp+*window)) })
	}
	wg.Wait()
	took := time.Since(begin)
	var all []time.Duration
	var bad int64
	for _, r := range results {
		all, bad = append(all, r.took...), bad+r.bad
	}
	if len(all) == 0 {
		return errors.New("nothing was answered")
	}
	slices.Sort(all)
	total := int64(float64(len(all)) * float64(warmUp+*window) / float64(*window)) // the warm-up had its share of CPU
	return json.NewEncoder(
		os.Stdout,
	).Encode(
		map[string]any{
			"Rate":  float64(len(all)) / window.Seconds(),
			"P50":   all[len(all)/2],
			"P99":   all[len(all)*99/100],
			"Bad":   bad,
			"Total": total,
			"Took":  took,
		},
	)
}

// result is what one connection saw.
type result struct {
	took []time.Duration
	bad  int64
}

// drive asks on the c-th connection until the window ends, and counts from its beginning.
func drive(
	ask func() (func(string) (bool, error), error),
	credentialOf func(int) string,
	c int,
	from, to time.Time,
) (r result) {
	one, err := ask()
	if err != nil {
		return result{bad: 1}
	}
	for i := c; ; i += connections {
		before := time.Now()
		ok, err := one(credentialOf(i))
		after := time.Now()
		if err != nil || !ok {
			r.bad++
		}
		if err != nil || after.After(to) {
			return r
		}
		if before.After(from) {
			r.took = append(r.took, after.Sub(before))
		}
	}
}

// credentialsOf returns what to present in the i-th request.
func credentialsOf(what string, keys int) (func(i int) string, error) {
	var list []string
	switch {
	case strings.HasPrefix(what, "jwt"):
		text, err := os.ReadFile(filepath.Join(os.Getenv("BENCH_FOLDER"), "jwts"))
		if err != nil {
			return nil, err
		}
		list = strings.Fields(string(text))
		if what == "jwt" {
			list = list[:100]
		}
	default:
		token := tokens()
		for i := range min(keys, spread) {
			list = append(list, token(i*max(1, keys/spread)))
		}
		if what == "wrong" {
			for i := range list {
				list[i] = token(-1 - i)
			}
		}
	}
	return func(i int) string { return list[i%len(list)] }, nil
}

// overHTTP returns connections that speak as little HTTP as it takes, so that the generator is not
// what is measured.
func overHTTP(what, address string) func() (func(string) (bool, error), error) {
	want := "HTTP/1.1 200"
	if what == "wrong" {
		want = "HTTP/1.1 401"
	}
	return func() (func(string) (bool, error), error) {
		conn, err := dial(what, address)
		if err != nil {
			return nil, err
		}
		in, buffer := bufio.NewReaderSize(conn, 4<<10), make([]byte, 0, 8<<10)
		return func(token string) (bool, error) {
			buffer = append(
				append(append(buffer[:0], "GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "...), token...),
				"\r\n\r\n"...)
			if _, err := conn.Write(buffer); err != nil {
				return false, err
			}
			status, err := in.ReadSlice('\n')
			if err != nil {
				return false, err
			}
			ok, body := strings.HasPrefix(string(status), want), 0
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return false, err
				}
				if len(line) == 2 {
					break
				}
				if len(line) > 16 && line[0] == 'C' && string(line[:16]) == "Content-Length: " {
					_, _ = fmt.Sscan(string(line[16:]), &body)
				}
			}
			_, err = in.Discard(body)
			return ok, err
		}, nil
	}
}

// anyCertificate accepts the certificate of this run's own server.
//
//nolint:gosec // it is made for the run
var anyCertificate = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}

func dial(what, address string) (net.Conn, error) {
	if what == "auth-tls" {
		return tls.Dial("tcp", address, anyCertificate) //nolint:noctx // this run's own server
	}
	return net.Dial("tcp", address) //nolint:noctx // as above
}

// overGRPC returns streams on four connections. Messages are encoded once for each token, and answers are not decoded,
// so that the generator is not what is measured.
func overGRPC(address string) (func() (func(string) (bool, error), error), error) {
	var conns []*grpc.ClientConn
	for range 4 {
		conn, err := grpc.NewClient(
			address,
			grpc.WithTransportCredentials(credentials.NewTLS(anyCertificate)),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(encoded{})),
		)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	n := 0
	var mu sync.Mutex
	return func() (func(string) (bool, error), error) {
		mu.Lock()
		n++
		conn := conns[n%len(conns)]
		mu.Unlock()
		requests := map[string][]byte{}
		return func(token string) (bool, error) {
			request, ok := requests[token]
			if !ok {
				var err error
				if request, err = checkRequest(token); err != nil {
					return false, err
				}
				requests[token] = request
			}
			var answer []byte
			err := conn.Invoke(context.Background(), authv3.Authorization_Check_FullMethodName, &request, &answer)
			return bytes.HasPrefix(answer, allowed), err
		}, nil
	}, nil
}

func checkRequest(token string) ([]byte, error) {
	source := &corev3.Address{
		Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "127.0.0.1"}},
	}
	return proto.Marshal(&authv3.CheckRequest{
		Attributes: &authv3.AttributeContext{
			Source: &authv3.AttributeContext_Peer{Address: source},
			Request: &authv3.AttributeContext_Request{
				Http: &authv3.AttributeContext_HttpRequest{
					Method: "GET", Path: "/", Headers: map[string]string{"authorization": "Bearer " + token},
				},
			},
		},
	})
}

// allowed starts the encoding of a CheckResponse that allows: field 1, an empty status, then field 3, ok_response.
var allowed = []byte{1<<3 | 2, 0, 3<<3 | 2}

// encoded is a codec for messages that are encoded already.
type encoded struct{}

// Marshal implements encoding.CodecV2.
func (encoded) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil //nolint:forcetypeassert // of checkRequest
}

// Unmarshal implements encoding.CodecV2.
func (encoded) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize() //nolint:forcetypeassert // of overGRPC
	return nil
}

// Name implements encoding.CodecV2.
func (encoded) Name() string { return "proto" }
