// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	keepFlight = time.Minute // for requests that were sent with the cookie from before the refresh

	registryTimeout = 5 * time.Second
)

var (
	errElsewhere = errors.New("another server is refreshing the session")
	errNoRefresh = errors.New("the issuer has given no refresh token")
)

// flight is one use of a refresh token, for all requests that need it: issuers that detect reuse end a session whose
// refresh token is used twice (RFC 9700, section 2.2.2).
type flight struct {
	done  chan struct{}
	began time.Time
	token *oauth2.Token
	err   error
}

// flights are the uses of refresh tokens that are under way, or were a moment ago. The zero value is ready to use.
type flights struct {
	mu sync.Mutex
	of map[string]*flight // by name
}

// flightName names the use of a refresh token: by the access token too, because some issuers keep the refresh token.
func flightName(current session) string {
	sum := sha256.Sum256([]byte(current.Refresh + " " + current.Access))
	return hex.EncodeToString(sum[:])
}

// join returns the flight of that name, and whether the caller has to run it.
func (fs *flights) join(name string, now time.Time) (f *flight, run bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f = fs.of[name]; f != nil && !f.over(now) {
		return f, false
	}
	maps.DeleteFunc(fs.of, func(_ string, f *flight) bool { return f.over(now) }) // tokens are not kept for longer
	f = &flight{done: make(chan struct{}), began: now}
	if fs.of == nil {
		fs.of = map[string]*flight{}
	}
	fs.of[name] = f
	return f, true
}

// over reports whether a flight has ended so long ago that no request waits for its result any more.
func (f *flight) over(now time.Time) bool {
	select {
	case <-f.done:
		return now.Sub(f.began) > keepFlight
	default:
		return false
	}
}

// forget removes a flight that failed, so that the next request tries again.
func (fs *flights) forget(name string, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.of[name] == f {
		delete(fs.of, name)
	}
}

// result returns the tokens of the flight that followed these, nil if there was none.
func (fs *flights) result(current session) *oauth2.Token {
	fs.mu.Lock()
	f := fs.of[flightName(current)]
	fs.mu.Unlock()
	if f == nil {
		return nil
	}
	<-f.done
	return f.token
}

// refreshOnce returns the tokens that follow the current ones.
func (s *Sessions) refreshOnce(ctx context.Context, current session) (*oauth2.Token, error) {
	if current.Refresh == "" {
		return nil, errNoRefresh
	}
	name := flightName(current)
	f, run := s.flights.join(name, s.now())
	if run {
		go s.runRefresh(context.WithoutCancel(ctx), name, f, current)
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// runRefresh uses a refresh token, if no other server does.
func (s *Sessions) runRefresh(ctx context.Context, name string, f *flight, current session) {
	asked, cancel := context.WithTimeout(ctx, registryTimeout)
	first, err := s.registry.ClaimRefresh(asked, name, s.now())
	cancel()
	switch {
	case err != nil:
		f.err = err
	case !first:
		f.err = errElsewhere
	default:
		if f.token, f.err = s.refresh(ctx, current); f.err != nil {
			release, cancel := context.WithTimeout(ctx, registryTimeout)
			f.err = errors.Join(f.err, s.registry.ReleaseRefresh(release, name))
			cancel()
		}
	}
	if f.err != nil {
		s.flights.forget(name, f)
	}
	close(f.done)
}

func (s *Sessions) refresh(ctx context.Context, current session) (*oauth2.Token, error) {
	p, err := s.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, s.config.Client), issuerTimeout)
	defer cancel()
	t, err := s.oauth(p).TokenSource(ctx, &oauth2.Token{RefreshToken: current.Refresh}).Token()
	if err != nil {
		return nil, fmt.Errorf("refresh session: %w", err)
	}
	return t, nil
}

// refused reports whether the issuer has refused a refresh token (RFC 6749, section 5.2), so that the session is over.
// Any other error says nothing of the session: a proxy in between may have answered, or our credentials may be wrong.
func refused(err error) bool {
	var answer *oauth2.RetrieveError
	return errors.Is(err, errNoRefresh) || errors.As(err, &answer) && answer.ErrorCode == "invalid_grant"
}
