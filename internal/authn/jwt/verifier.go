// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	golangjwt "github.com/golang-jwt/jwt/v5"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

const (
	leeway    = 30 * time.Second
	maxCached = 10_000
)

// Verifier verifies the tokens of some issuers. Make one with New.
type Verifier struct {
	now     func() time.Time
	issuers map[string]*trusted // by URL

	mu     sync.RWMutex
	cached map[apikey.Digest]verified
}

// trusted is one issuer with its keys.
type trusted struct {
	Config
	keys   *keys
	parser *golangjwt.Parser
}

// verified is a token that was found good: until it expires, or its issuer's keys change.
type verified struct {
	principal  authn.Principal
	issuer     *trusted
	generation uint64
}

// New returns a verifier. The error is a FieldError that names the first field that is wrong.
func New(configs []Config, now func() time.Time) (*Verifier, error) {
	v := &Verifier{now: now, issuers: map[string]*trusted{}, cached: map[apikey.Digest]verified{}}
	for i, c := range configs {
		err := c.setDefaults()
		client, err2 := c.Issuer.Client()
		if err = cmp.Or(err, err2); err != nil {
			var field *FieldError
			if errors.As(err, &field) {
				field.Path = append([]any{i}, field.Path...)
			}
			return nil, err
		}
		if v.issuers[c.Issuer.URL] != nil {
			return nil, fieldError(errors.New("is the URL of an issuer before"), i, "issuer", "url")
		}
		t := &trusted{Config: c}
		t.keys = newKeys(&t.Issuer, client, now)
		t.parser = golangjwt.NewParser(
			golangjwt.WithValidMethods(c.Issuer.Algorithms),
			golangjwt.WithStrictDecoding(),
			golangjwt.WithIssuer(
				c.Issuer.URL,
			),
			golangjwt.WithAudience(c.Issuer.Audiences...),
			golangjwt.WithExpirationRequired(),
			golangjwt.WithIssuedAt(),
			golangjwt.WithLeeway(leeway),
			golangjwt.WithTimeFunc(now),
		)
		v.issuers[c.Issuer.URL] = t
	}
	return v, distinctAccounts(configs)
}

// Run keeps the issuers' keys up to date until ctx is done.
func (v *Verifier) Run(ctx context.Context, log *slog.Logger) {
	var wg sync.WaitGroup
	for _, t := range v.issuers {
		wg.Go(func() { t.keys.run(ctx, log) })
	}
	wg.Wait()
}

// Ages returns how old the keys of each issuer are, by its URL; negative: there are none yet.
func (v *Verifier) Ages() map[string]time.Duration {
	out := map[string]time.Duration{}
	for url, t := range v.issuers {
		out[url] = t.keys.age()
	}
	return out
}

// Verify implements authn.Tokens: it returns who the token is of, or why it is refused. The error is
// authn.ErrUndecided: the issuer's keys are not known.
func (v *Verifier) Verify(token string) (authn.Principal, authn.Denial, error) {
	if len(token) > MaxBytes {
		return refused(denial.Malformed)
	}
	digest := apikey.DigestOf(token)
	if p, ok := v.recall(digest); ok {
		return p, authn.Denial{}, nil
	}
	h, issuer, err := inspect(token)
	if err != nil {
		return refused(denial.Malformed)
	}
	found := v.issuers[issuer]
	switch {
	case found == nil:
		return refused(denial.Issuer)
	case !slices.Contains(found.Issuer.Algorithms, h.algorithm):
		return refused(denial.Algorithm)
	}
	var generation uint64
	var undecided error
	claims := golangjwt.MapClaims{}
	_, err = found.parser.ParseWithClaims(token, claims, func(*golangjwt.Token) (any, error) {
		keys, at, err := found.keys.find(h)
		generation, undecided = at, err
		if len(keys) == 0 {
			return nil, errKey
		}
		set := golangjwt.VerificationKeySet{}
		for _, key := range keys {
			set.Keys = append(set.Keys, key)
		}
		return set, nil
	})
	switch {
	case undecided != nil:
		return authn.Principal{}, authn.Denial{}, fmt.Errorf("%w: %w", authn.ErrUndecided, undecided)
	case err != nil:
		return denied(err)
	}
	p, err := found.subject(claims)
	if err != nil {
		return authn.Principal{}, authn.Denial{
			Reason: denial.Claims,
			Detail: strings.ReplaceAll(err.Error(), "\n", " "),
		}, nil
	}
	p.Expires = when(claims.GetExpirationTime())
	p.Issued = when(claims.GetIssuedAt())
	v.remember(digest, verified{principal: p, issuer: found, generation: generation})
	return p, authn.Denial{}, nil
}

var errKey = errors.New("no key of that id and algorithm")

func refused(reason denial.Reason) (authn.Principal, authn.Denial, error) {
	return authn.Principal{}, authn.Deny(reason), nil
}

// denied says why the library refuses a token. Expired is only said of one that is good otherwise.
func denied(err error) (authn.Principal, authn.Denial, error) {
	others := []struct {
		is     error
		reason denial.Reason
	}{
		{
			errKey,
			denial.Key,
		},
		{golangjwt.ErrTokenMalformed, denial.Malformed},
		{golangjwt.ErrTokenSignatureInvalid, denial.Signature},
		{golangjwt.ErrTokenInvalidAudience, denial.Audience},
		{golangjwt.ErrTokenInvalidIssuer, denial.Issuer},
		{golangjwt.ErrTokenNotValidYet, denial.NotYetValid},
		{golangjwt.ErrTokenUsedBeforeIssued, denial.NotYetValid},
		{golangjwt.ErrTokenRequiredClaimMissing, denial.NoExpiry},
		{golangjwt.ErrTokenUnverifiable, denial.Signature},
	}
	for _, o := range others {
		if errors.Is(err, o.is) {
			return refused(o.reason)
		}
	}
	if errors.Is(err, golangjwt.ErrTokenExpired) {
		return refused(denial.Expired)
	}
	return refused(denial.Claims)
}

func when(t *golangjwt.NumericDate, err error) time.Time {
	if t == nil || err != nil {
		return time.Time{}
	}
	return t.Time
}

func (v *Verifier) recall(digest apikey.Digest) (authn.Principal, bool) {
	v.mu.RLock()
	c, ok := v.cached[digest]
	v.mu.RUnlock()
	if !ok || !v.now().Before(c.principal.Expires) || c.generation != c.issuer.keys.current() {
		return authn.Principal{}, false // the leeway is for the whole way
	}
	return c.principal, true
}

// remember caches a verdict. When there are too many, an eighth of them goes, whichever.
func (v *Verifier) remember(digest apikey.Digest, c verified) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.cached) >= maxCached {
		n := maxCached / 8
		for d := range v.cached {
			if n == 0 {
				break
			}
			delete(v.cached, d)
			n--
		}
	}
	v.cached[digest] = c
}
