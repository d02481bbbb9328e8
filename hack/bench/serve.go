// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/authn/jwt"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/door"
	"github.com/kaana/apikey-operator/internal/door/envoy"
	"github.com/kaana/apikey-operator/internal/keyring"
	"github.com/kaana/apikey-operator/test/cluster"
	"github.com/kaana/apikey-operator/test/issuer"
)

// tokens makes the token of the i-th key, the same in every process of a run.
func tokens() func(i int) string {
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		panic(err)
	}
	return func(i int) string {
		var seed [32]byte
		copy(seed[:], fmt.Sprint("bench", i))
		t, err := format.Mint(rand.NewChaCha8(seed))
		if err != nil {
			panic(err)
		}
		return t.Reveal()
	}
}

// objects are that many ApiKeys, a tenth of them in each of ten Namespaces.
func objects(n int) iter.Seq[*v1alpha1.ApiKey] {
	token := tokens()
	now := metav1.NewTime(time.Now())
	return func(yield func(*v1alpha1.ApiKey) bool) {
		for i := range n {
			d := apikey.DigestOf(token(i))
			o := &v1alpha1.ApiKey{
				ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("team-%d", i%10), Name: fmt.Sprintf("key-%07d", i),
					UID: types.UID(uuid.NewSHA1(uuid.Nil, d[:]).String()), CreationTimestamp: now},
				Spec: v1alpha1.ApiKeySpec{
					State:  v1alpha1.KeyActive,
					Role:   v1alpha1.RoleMember,
					Scopes: []v1alpha1.Scope{"projects:read", "invoices:write"},
				},
				Status: v1alpha1.ApiKeyStatus{
					Credentials: []v1alpha1.Credential{
						{ID: d.ID(), SHA256: d.String(), Phase: v1alpha1.CredentialCurrent, IssuedAt: now},
					},
				},
			}
			if !yield(o) {
				return
			}
		}
	}
}

func fill(n int) *keyring.Index {
	ring, tenants := keyring.New(0), map[string]string{}
	for i := range 10 {
		tenants[fmt.Sprintf("team-%d", i)] = "acme"
	}
	ring.Load(objects(n), tenants)
	return ring
}

// serve serves until its input ends, and tells its address first. Asked "cpu", it says how much time
// it has had.
func serve(what string, keys int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // immediate
	if err != nil {
		return err
	}
	dir, err := benchFolder()
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	switch what {
	case "bare":
		go func() { _ = (&http.Server{Handler: http.HandlerFunc(bare)}).Serve(l) }() //nolint:gosec // a floor
	case "bare-refusal":
		go func() { _ = (&http.Server{Handler: http.HandlerFunc(bareRefusal)}).Serve(l) }() //nolint:gosec // a floor
	case "bare-grpc":
		srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
		authv3.RegisterAuthorizationServer(srv, bareAuthz{})
		go func() { _ = srv.Serve(l) }()
	default:
		folder, err := doors(ctx, what, l, config, keys)
		defer func() { _ = os.RemoveAll(folder) }()
		if err != nil {
			return err
		}
	}
	runtime.GC()
	fmt.Println(l.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Println(spent())
	}
	return nil
}

// doors serves the product, and returns the folder of its records.
func doors(ctx context.Context, what string, l net.Listener, config *tls.Config, keys int) (folder string, err error) {
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		return "", err
	}
	v := &authn.Verifier{Format: format, Keys: fill(keys), Now: time.Now}
	if v.Tokens, err = tokensOf(ctx, os.Getenv("BENCH_ISSUER")); err != nil {
		return "", err
	}
	log, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	keeper, folder, err := newKeeper(ctx)
	if err != nil {
		return "", err
	}
	go func() { _ = keeper.Run(ctx) }()
	auth := door.NewAuthenticator(v, &door.Metrics{}, keeper.Recorder, slog.New(slog.NewJSONHandler(log, nil)), time.Now)
	handler := door.Handler(&door.ForwardAuth{Auth: auth})
	switch what {
	case "doors":
		go func() { _ = (&http.Server{Handler: handler}).Serve(l) }() //nolint:gosec // as bare as the floor
	case "doors-tls":
		bare := &http.Server{Handler: handler, TLSConfig: config} //nolint:gosec // as bare as the floor
		go func() { _ = bare.ServeTLS(l, "", "") }()
	case "doors-grpc":
		go func() { _ = (&envoy.ExtAuthz{Auth: auth}).Serve(ctx, l, config) }()
	default:
		return folder, errors.New("nothing is called " + what)
	}
	return folder, nil
}

// tokensOf returns a verifier of the run's issuer that knows its keys.
func tokensOf(ctx context.Context, url string) (*jwt.Verifier, error) {
	dir, err := benchFolder()
	if err != nil {
		return nil, err
	}
	c := jwt.Config{
		Issuer: jwt.Issuer{
			URL:                      url,
			Audiences:                []string{issuer.Audience},
			CertificateAuthorityFile: filepath.Join(dir, "ca.crt"),
		},
	}
	verifier, err := jwt.New([]jwt.Config{c}, time.Now)
	if err != nil {
		return nil, err
	}
	go verifier.Run(ctx, slog.New(slog.DiscardHandler))
	for verifier.Ages()[url] < 0 {
		time.Sleep(time.Millisecond)
	}
	return verifier, nil
}

var bareHeaders = [][2]string{
	{"X-Auth-Id", "9b2d8f6e-0000-5000-8000-000000000000"},
	{"X-Auth-User", "apikey:team-1:key-0000001"},
	{"X-Auth-Role", "member"},
	{
		"X-Auth-Tenant",
		"acme",
	},
	{"X-Auth-Scopes", "projects:read invoices:write"},
	{"X-Auth-Key", "team-1/key-0000001"},
	{"X-Auth-Method", "apikey"},
	{"Cache-Control", "no-store"},
}

// bare answers what forward-auth answers, without looking.
func bare(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	for _, kv := range bareHeaders {
		h.Set(kv[0], kv[1])
	}
	w.WriteHeader(http.StatusOK)
}

// unknown is the refusal of a wrong key.
var unknown = door.RefusalFor(authn.Deny(denial.Unknown), nil)

// bareRefusal answers what forward-auth answers to a wrong key, without looking.
func bareRefusal(w http.ResponseWriter, _ *http.Request) {
	var values [len(door.IdentityHeaders)]string
	for i, name := range door.IdentityHeaders {
		w.Header()[name] = values[i : i+1 : i+1]
	}
	unknown.Write(w)
}

type bareAuthz struct {
	authv3.UnimplementedAuthorizationServer
}

// Check answers what ext_authz answers, without looking.
func (bareAuthz) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	ok := &authv3.OkHttpResponse{}
	for _, kv := range bareHeaders[:7] {
		ok.Headers = append(
			ok.Headers,
			&corev3.HeaderValueOption{
				Header:       &corev3.HeaderValue{Key: kv[0], Value: kv[1]},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			},
		)
		ok.HeadersToRemove = append(ok.HeadersToRemove, kv[0])
	}
	return &authv3.CheckResponse{
		Status:       &status.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}, nil
}

// spent returns the CPU time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchFolder is where a run keeps its certificate.
func benchFolder() (string, error) {
	dir := os.Getenv("BENCH_FOLDER")
	if dir == "" {
		return "", errors.New("BENCH_FOLDER is not set: use make bench")
	}
	if _, err := os.Stat(filepath.Join(dir, "tls.crt")); err == nil {
		return dir, nil
	}
	_, err := cluster.NewCertificate(dir)
	return dir, err
}

// lookups measures the index in this process.
func lookups() error {
	fmt.Printf("\n%-48s %10s %10s\n", "", "ns", "allocs")
	token := tokens()
	for _, n := range []int{10, 10_000, *many} {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ring := fill(n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		digests := make([]apikey.Digest, 1024)
		for i := range digests {
			digests[i] = apikey.DigestOf(token((i * 7919) % n))
		}
		result := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, ok, err := ring.Lookup(digests[i&1023]); !ok || err != nil {
					b.Fatal("not found")
				}
			}
		})
		heap, each := "", float64(after.HeapAlloc-before.HeapAlloc)/float64(n)
		if n >= 10_000 {
			heap = fmt.Sprintf("%.0f bytes a key", each)
		}
		fmt.Printf(
			"%-48s %10.0f %10d  %s\n",
			fmt.Sprintf("look-up in process, %d keys", n),
			float64(result.T.Nanoseconds())/float64(result.N),
			result.AllocsPerOp(),
			heap,
		)
		if result.AllocsPerOp() > 0 || result.NsPerOp() > 400 || n >= 1_000_000 && each > 130 {
			return errors.New(
				"the index is beyond its budget of 400 ns, no allocation and, with a million keys, 130 bytes a key",
			)
		}
		runtime.KeepAlive(ring)
	}
	return nil
}
