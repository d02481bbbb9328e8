// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	refreshEvery = 10 * time.Minute
	firstRetry   = time.Second
	longestRetry = 30 * time.Second
	// Unknown key IDs may ask for a fetch this often, after a burst. One fetch answers for all that were seen before it,
	// so random ones delay the answer for a new key by unknownEvery at most.
	unknownEvery = 10 * time.Second
	unknownBurst = 5
	fetchTimeout = 5 * time.Second
	maxAnswer    = 1 << 20
)

// keys are an issuer's public keys, kept up to date in the background.
type keys struct {
	issuer *Issuer
	client *http.Client
	now    func() time.Time

	mu         sync.RWMutex
	byID       keySet
	log        *slog.Logger      // nil until run
	skipped    map[string]string // keys of the set that are not used, and why; each is logged once
	generation uint64            // of the set; a verdict on a token holds for one
	fetched    time.Time         // zero: never yet
	began      time.Time         // when the fetch began that brought the set
	failed     error             // of the last fetch

	asking  *rate.Limiter   // the fetches that unknown key IDs ask for
	unknown authn.FirstSeen // by the digest of the ID, which may be long

	fetching sync.Mutex
}

func newKeys(issuer *Issuer, client *http.Client, now func() time.Time) *keys {
	asking := rate.NewLimiter(rate.Every(unknownEvery), unknownBurst)
	return &keys{issuer: issuer, client: client, now: now, asking: asking}
}

// run keeps the keys up to date until ctx is done: often until they are there, then now and then.
func (k *keys) run(ctx context.Context, log *slog.Logger) {
	k.mu.Lock()
	k.log = log
	k.mu.Unlock()
	pause := firstRetry
	for {
		next := refreshEvery
		if err := k.fetch(ctx, time.Time{}); err != nil && ctx.Err() == nil {
			log.WarnContext(
				ctx,
				"cannot fetch the keys of an issuer; known keys stay in use",
				"issuer",
				k.issuer.URL,
				"error",
				err,
			)
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

// find returns the keys that may have signed a token with that header, fetching the set again when there is none: keys
// are rolled over. The error means that the server cannot decide yet: the set is not known, or was fetched before the
// unknown key ID was first seen, and the key may be new.
func (k *keys) find(h header) (found []crypto.PublicKey, generation uint64, err error) {
	if found, generation = k.known(h); len(found) > 0 {
		return found, generation, nil
	}
	now := k.now()
	seen := now
	if h.keyID != "" {
		seen = k.unknown.At(apikey.DigestOf(h.keyID), now)
	}
	if since, may := k.ask(h.keyID, seen, now); may {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		_ = k.fetch(ctx, since) // remembered
	} else {
		k.fetching.Lock()   // wait for a fetch that is under way: it may bring the key
		k.fetching.Unlock() //nolint:staticcheck // waiting is all that is wanted
	}
	if found, generation = k.known(h); len(found) > 0 {
		return found, generation, nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.failed != nil || k.fetched.IsZero() {
		return nil, 0, errors.Join(fmt.Errorf("the keys of %s are not known", k.issuer.URL), k.failed)
	}
	if h.keyID != "" && k.began.Before(seen) {
		return nil, 0, fmt.Errorf("%s may have a new key", k.issuer.URL)
	}
	return nil, 0, nil
}

// ask reports whether an unknown key ID, first seen at an instant, may ask for a fetch, and when the set was last
// fetched. One that was looked for in a recent fetch may not.
func (k *keys) ask(id string, seen, now time.Time) (time.Time, bool) {
	k.mu.RLock()
	fetched, began := k.fetched, k.began
	k.mu.RUnlock()
	recent := !began.Before(seen) && now.Sub(began) < unknownEvery
	if id == "" || recent || !k.asking.AllowN(now, 1) {
		return time.Time{}, false
	}
	return fetched, true
}

// known returns the keys of the set as it is that may have signed a token with that header.
func (k *keys) known(h header) ([]crypto.PublicKey, uint64) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.byID.candidates(h), k.generation
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

// fetch replaces the set by what the issuer publishes, unless another call has since that instant.
func (k *keys) fetch(ctx context.Context, since time.Time) error {
	k.fetching.Lock()
	defer k.fetching.Unlock()
	k.mu.RLock()
	fresher := !since.IsZero() && k.fetched.After(since)
	k.mu.RUnlock()
	if fresher {
		return nil
	}
	began := k.now()
	set, skipped, err := k.download(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed = err
	if err != nil {
		return err
	}
	k.fetched, k.began = k.now(), began
	if !k.byID.equal(set) {
		k.byID = set
		k.generation++
	}
	k.report(ctx, skipped)
	return nil
}

// download discovers where the issuer publishes its keys (OpenID Connect Discovery 1.0) and reads
// them.
func (k *keys) download(ctx context.Context) (set keySet, skipped map[string]string, err error) {
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := k.get(ctx, k.issuer.DiscoveryURL, &metadata); err != nil {
		return nil, nil, err
	}
	if metadata.Issuer != k.issuer.URL {
		return nil, nil, fmt.Errorf("%s is of issuer %q, not %q", k.issuer.DiscoveryURL, metadata.Issuer, k.issuer.URL)
	}
	address, _, _ := strings.Cut(metadata.JWKSURI, "?") // which may have a query
	if err := requireHTTPS(address); err != nil {
		return nil, nil, fmt.Errorf("jwks_uri: %w", err)
	}
	var published struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, metadata.JWKSURI, &published); err != nil {
		return nil, nil, err
	}
	set, skipped = readKeys(published.Keys)
	if len(set) == 0 {
		return nil, nil, fmt.Errorf("%s holds no key to verify signatures with", metadata.JWKSURI)
	}
	return set, skipped, nil
}

// report logs each key of the set that is not used, once. The caller holds the lock.
func (k *keys) report(ctx context.Context, skipped map[string]string) {
	for key, reason := range skipped {
		if k.skipped[key] != reason && k.log != nil {
			k.log.WarnContext(ctx, "a key of an issuer is not used", "issuer", k.issuer.URL, "key", key, "reason", reason)
		}
	}
	if k.log != nil {
		k.skipped = skipped
	}
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
