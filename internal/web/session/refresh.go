// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	keepFlight = time.Minute // for requests that were sent with the cookie from before the refresh
	maxFlights = 10_000
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

// refreshOnce returns the tokens that follow the current ones.
func (s *Sessions) refreshOnce(ctx context.Context, current session) (*oauth2.Token, error) {
	if current.Refresh == "" {
		return nil, errNoRefresh
	}
	sum := sha256.Sum256([]byte(current.Refresh))
	name := hex.EncodeToString(sum[:])
	s.mu.Lock()
	f := s.flights[name]
	if f == nil {
		f = &flight{done: make(chan struct{}), began: s.now()}
		s.admit(name, f)
		go s.fly(context.WithoutCancel(ctx), name, f, current)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// admit adds a flight, and forgets those that are over.
func (s *Sessions) admit(name string, f *flight) {
	if s.flights == nil || len(s.flights) >= maxFlights {
		s.flights = map[string]*flight{}
	}
	maps.DeleteFunc(s.flights, func(_ string, old *flight) bool { return f.began.Sub(old.began) > keepFlight })
	s.flights[name] = f
}

// fly uses a refresh token. A flight that fails is forgotten, so that the next request tries again.
func (s *Sessions) fly(ctx context.Context, name string, f *flight, current session) {
	defer close(f.done)
	first, err := s.registry.ClaimRefresh(ctx, name, s.now())
	switch {
	case err != nil:
		f.err = err
	case !first:
		f.err = errElsewhere
	default:
		if f.token, f.err = s.refresh(ctx, current); f.err != nil {
			f.err = errors.Join(f.err, s.registry.ReleaseRefresh(ctx, name))
		}
	}
	if f.err != nil {
		s.mu.Lock()
		delete(s.flights, name)
		s.mu.Unlock()
		return
	}
	if ended, err := s.registry.SessionEnded(ctx, current.ID); err == nil && ended { // meanwhile
		_ = s.revoke(ctx, f.token.RefreshToken)
	}
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

// refused reports whether the issuer has refused a refresh token, so that the session is over. Any other error means
// that it could not be asked.
func refused(err error) bool {
	var answer *oauth2.RetrieveError
	return errors.Is(err, errNoRefresh) || errors.As(err, &answer) && answer.Response != nil &&
		answer.Response.StatusCode < http.StatusInternalServerError &&
		answer.Response.StatusCode != http.StatusTooManyRequests
}
