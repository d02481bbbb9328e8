// SPDX-License-Identifier: Apache-2.0

package authn

import (
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

// Project is a Namespace as its tenant sees it.
type Project struct {
	Name   string `json:"name"`
	Tenant string `json:"tenant"`
}

// Keys is the port to the cluster's credentials and projects.
type Keys interface {
	// Ready reports whether the cluster is known well enough to give verdicts.
	Ready() bool
	// Lookup returns what is known of the digest, and false when no key has it. The error is
	// ErrUnsynced: it cannot be told yet.
	Lookup(d apikey.Digest) (Found, bool, error)
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
// only. The error is ErrUndecided.
func (v *Verifier) Verify(presented string, from netip.Addr) (Principal, Denial, error) {
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
	found, ok, err := v.Keys.Lookup(digest)
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

// reserved reports whether a name is reserved by Kubernetes or by the operator. The API server refuses such names too;
// a wrong answer here could make the caller a cluster-admin.
func (p *Principal) reserved() bool {
	return strings.HasPrefix(p.Account.ID, "system:") || strings.HasPrefix(p.Account.Username, "system:") ||
		strings.HasPrefix(p.Tenant, "system:") ||
		strings.HasPrefix(p.Account.Username, "apikey:") // of a key without an owner
}
