// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/denial"
)

// Found is what is known of a digest.
type Found struct {
	Key        apikey.Key
	Credential apikey.Credential
	Principal  Principal
}

// ErrUndecided means that the server cannot decide yet who the caller is. It must not become a denial.
var ErrUndecided = errors.New("undecided")

// ErrUnsynced is ErrUndecided because the cluster is not known well enough.
var ErrUnsynced = fmt.Errorf("%w: the index of API keys is not complete, or too old", ErrUndecided)

// ErrBehind is ErrUnsynced because the watch may be about to deliver what is missing.
var ErrBehind = fmt.Errorf("%w: the token may be new", ErrUnsynced)

// Project is a Namespace as its tenant sees it.
type Project struct {
	Name   string `json:"name"`
	Tenant string `json:"tenant"`
}

// Keys is the port to the cluster's credentials and projects.
type Keys interface {
	// Ready reports whether the cluster is known well enough to give verdicts.
	Ready() bool
	// Lookup returns what is known of the digest, and false when no key is known to have it. The error is ErrUnsynced: it
	// cannot be told yet.
	Lookup(d apikey.Digest) (Found, bool, error)
	// Await is Lookup of a digest that was not found but may be new. It waits for a second at most, not past the deadline
	// of ctx, and returns false only if no key has the digest.
	Await(ctx context.Context, d apikey.Digest, from netip.Addr) (Found, bool, error)
	// Current reports whether what Lookup does not find does not exist, but for what is about to arrive.
	Current() bool
	// Projects returns the Namespaces of a tenant by name.
	Projects(tenant string) []Project
}

// Tokens is the port to JSON Web Tokens.
type Tokens interface {
	// Verify returns who the token, of kind KindJWT, belongs to, or why it is refused. The error is ErrUndecided.
	Verify(token string) (Principal, Denial, error)
}

// Verifier gives the verdict on presented credentials, the same at every door.
type Verifier struct {
	Format apikey.Format
	Keys   Keys
	Tokens Tokens // nil: none are accepted
	Now    func() time.Time
}

// Verify returns who the credential, presented from that address, belongs to, or why it is
// refused. With a denial the principal is the one the credential belonged to, if any, for the log
// only. The error is ErrUndecided. A token of our format that is not known may be new, and makes Verify wait, see
// Keys.Await.
func (v *Verifier) Verify(ctx context.Context, presented string, from netip.Addr) (Principal, Denial, error) {
	if presented == "" {
		return Principal{}, Deny(denial.Missing), nil
	}
	if v.Tokens != nil && KindOf(presented) == KindJWT {
		return v.Tokens.Verify(presented)
	}
	digest, ok := v.Format.Digest(presented)
	if !ok {
		return Principal{}, Deny(denial.Malformed), nil
	}
	found, ok, err := v.find(ctx, presented, digest, from)
	if err != nil {
		return Principal{}, Denial{}, err
	}
	if !ok {
		return Principal{}, Deny(denial.Unknown), nil
	}
	p := found.Principal
	if reason := apikey.Usable(found.Key, found.Credential, from, v.Now()); reason != denial.None {
		return p, Deny(reason), nil
	}
	if p.Role == NoRole || p.reserved() {
		return p, Deny(denial.Reserved), nil
	}
	return p, Denial{}, nil
}

// find finds the key of a digest, and waits for it if it may be new.
func (v *Verifier) find(ctx context.Context, presented string, d apikey.Digest, from netip.Addr) (Found, bool, error) {
	found, ok, err := v.Keys.Lookup(d)
	switch {
	case ok:
		return found, ok, err
	case errors.Is(err, ErrBehind), err == nil && v.Format.Minted(presented):
		return v.Keys.Await(ctx, d, from)
	case err == nil && !v.Keys.Current():
		return Found{}, false, ErrUnsynced
	}
	return found, ok, err
}

// reserved reports whether a name is reserved by Kubernetes or by the operator. The API server refuses such names too;
// a wrong answer here could make the caller a cluster-admin.
func (p *Principal) reserved() bool {
	return strings.HasPrefix(p.Account.ID, "system:") || strings.HasPrefix(p.Account.Username, "system:") ||
		strings.HasPrefix(p.Tenant, "system:") ||
		strings.HasPrefix(p.Account.Username, "apikey:") // of a key without an owner
}
