// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	refreshEvery = 10 * time.Minute
	firstRetry   = time.Second
	longestRetry = 30 * time.Second
	unknownEvery = time.Minute // between two fetches that unknown key ids ask for
	fetchTimeout = 5 * time.Second
	maxAnswer    = 1 << 20
	minRSABits   = 2048
)

// keys are an issuer's public keys, kept up to date in the background.
type keys struct {
	issuer *Issuer
	client *http.Client
	now    func() time.Time

	mu         sync.RWMutex
	byID       map[string]jwkset.JWK
	generation uint64    // of the set; a verdict on a token holds for one
	fetched    time.Time // zero: never yet
	asked      time.Time // when an unknown key id last asked for a fetch
	failed     error     // of the last fetch

	fetching sync.Mutex
}

func newKeys(issuer *Issuer, client *http.Client, now func() time.Time) *keys {
	return &keys{issuer: issuer, client: client, now: now}
}

// run keeps the keys up to date until ctx is done: often until they are there, then now and then.
func (k *keys) run(ctx context.Context, log *slog.Logger) {
	pause := firstRetry
	for {
		next := refreshEvery
		if err := k.fetch(ctx, time.Time{}); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "cannot fetch the keys of an issuer; known keys stay in use", "issuer", k.issuer.URL, "error", err)
			next = pause
			pause = min(2*pause, longestRetry)
		} else {
			pause = firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

// find returns the key of that id, fetching the set again when it is not in it: keys are rolled over.
// The error means that it cannot be told now.
func (k *keys) find(id string) (key jwkset.JWK, generation uint64, ok bool, err error) {
	if key, generation, ok = k.known(id); ok {
		return key, generation, true, nil
	}
	if since, may := k.ask(id); may {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		_ = k.fetch(ctx, since) // remembered
	} else {
		k.fetching.Lock()   // who asked a moment ago may be about to know
		k.fetching.Unlock() //nolint:staticcheck // waiting is all that is wanted
	}
	if key, generation, ok = k.known(id); ok {
		return key, generation, true, nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.failed != nil || k.fetched.IsZero() {
		return jwkset.JWK{}, 0, false, errors.Join(fmt.Errorf("the keys of %s are not known", k.issuer.URL), k.failed)
	}
	return jwkset.JWK{}, 0, false, nil
}

// ask reports whether an unknown key id may ask for a fetch, and when the set was last fetched.
func (k *keys) ask(id string) (time.Time, bool) {
	if id == "" {
		return time.Time{}, false
	}
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	may := k.asked.IsZero() || now.Sub(k.asked) >= unknownEvery
	if may {
		k.asked = now
	}
	return k.fetched, may
}

// known looks the key up in the set as it is. Without an id it is the only key of a set of one.
func (k *keys) known(id string) (jwkset.JWK, uint64, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if id == "" && len(k.byID) == 1 {
		for _, key := range k.byID {
			return key, k.generation, true
		}
	}
	key, ok := k.byID[id]
	return key, k.generation, ok && id != ""
}

// current returns the generation of the set.
func (k *keys) current() uint64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.generation
}

// age returns how old the set is; negative: there is none.
func (k *keys) age() time.Duration {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.fetched.IsZero() {
		return -1
	}
	return k.now().Sub(k.fetched)
}

// fetch replaces the set by what the issuer publishes, unless somebody else has since that instant.
func (k *keys) fetch(ctx context.Context, since time.Time) error {
	k.fetching.Lock()
	defer k.fetching.Unlock()
	k.mu.RLock()
	fresher := !since.IsZero() && k.fetched.After(since)
	k.mu.RUnlock()
	if fresher {
		return nil
	}
	set, err := k.download(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed = err
	if err != nil {
		return err
	}
	k.fetched = k.now()
	if !sameSet(k.byID, set) {
		k.byID = set
		k.generation++
	}
	return nil
}

func sameSet(a, b map[string]jwkset.JWK) bool {
	if len(a) != len(b) {
		return false
	}
	for id, key := range a {
		mine, ok := key.Key().(interface {
			Equal(other crypto.PublicKey) bool
		})
		if other, there := b[id]; !ok || !there || !mine.Equal(other.Key()) {
			return false
		}
	}
	return true
}

// download discovers where the issuer publishes its keys (OpenID Connect Discovery 1.0) and reads
// them.
func (k *keys) download(ctx context.Context) (map[string]jwkset.JWK, error) {
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := k.get(ctx, k.issuer.DiscoveryURL, &metadata); err != nil {
		return nil, err
	}
	if metadata.Issuer != k.issuer.URL {
		return nil, fmt.Errorf("%s is of issuer %q, not %q", k.issuer.DiscoveryURL, metadata.Issuer, k.issuer.URL)
	}
	if err := requireHTTPS(metadata.JWKSURI); err != nil {
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, metadata.JWKSURI, &set); err != nil {
		return nil, err
	}
	out := map[string]jwkset.JWK{}
	for _, raw := range set.Keys {
		key, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || !usable(key) {
			continue // of a kind that we do not know; RFC 7517, section 5
		}
		out[key.Marshal().KID] = key
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no key to verify signatures with", metadata.JWKSURI)
	}
	return out, nil
}

// usable reports whether a key is one to verify signatures with, and strong enough.
func usable(key jwkset.JWK) bool {
	if use := key.Marshal().USE; use != "" && use != jwkset.UseSig {
		return false
	}
	switch public := key.Key().(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

func (k *keys) get(ctx context.Context, address string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("get %s: %w", address, err)
	}
	resp, err := k.client.Do(r)
	if err != nil {
		return fmt.Errorf("get %s: %w", address, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", address, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", address, err)
	}
	return nil
}
