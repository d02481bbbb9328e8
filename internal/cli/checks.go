// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

// check is one check of the server: what is printed when it passes and when it fails, and how to fix it.
type check struct {
	reason               denial.Reason
	passed, failed, help string
}

// keyChecks are the checks of an API key, in the order of authn.Verifier and apikey.Usable.
func (c *cli) keyChecks(a *attempt, token string, v verification) []check {
	o, key := v.key(), v.principal.Key.String()
	searched := "in the cluster"
	if v.limited != "" {
		searched = "in Namespace " + v.limited
	}
	return []check{
		c.formatCheck(token),
		{denial.Unknown, "ApiKey " + key + " has its digest (SHA-256)",
			"no ApiKey " + searched + " has its digest (SHA-256)",
			"It was issued elsewhere, or its ApiKey was deleted, or it was replaced long ago and its record was removed."},
		{denial.Deleted, "the ApiKey is not being deleted", "ApiKey " + key + " is being deleted", "Create another key."},
		{denial.Suspended, "the ApiKey is not suspended", "ApiKey " + key + " is suspended" + stateReason(o),
			"To accept it again: kubectl apikey resume " + o.Name + " -n " + o.Namespace},
		{denial.Revoked, "the ApiKey is not revoked", "ApiKey " + key + " is revoked" + stateReason(o),
			"Revocation is permanent. Create another key."},
		{denial.Expired, "the ApiKey has not expired",
			"ApiKey " + key + " has expired: " + relative(o.Spec.ExpiresAt, c.now()),
			"Set a later spec.expiresAt, or create another key."},
		retiredCheck(&o, v.principal.Credential),
		networkCheck(&o, a.from),
		{denial.Reserved, "its owner and tenant have no reserved names",
			"its owner or tenant has a reserved name (system:, apikey:), or it has no role",
			"Correct spec.owner, spec.role, or the label " + v1alpha1.TenantLabel + " of the Namespace."},
	}
}

func stateReason(o v1alpha1.ApiKey) string {
	if o.Spec.StateReason == "" {
		return ""
	}
	return ": " + oneLine(o.Spec.StateReason)
}

func (c *cli) formatCheck(token string) check {
	out := check{denial.Malformed, "it is not in this installation's format; it may be an imported token",
		fmt.Sprintf("it is longer than %d bytes", apikey.MaxTokenBytes), "Check that the input is the token alone."}
	if strings.HasPrefix(token, c.prefix+"_") {
		out.passed = "it has this installation's format and a correct checksum"
		out.failed = "it starts like a token of this installation, but its length, a character or its checksum is wrong"
		out.help = "Part of it was lost or mistyped. Copy it again from where it is stored."
	}
	return out
}

func retiredCheck(o *v1alpha1.ApiKey, digest apikey.Digest) check {
	out := check{denial.Retired, "it was not replaced", "it was replaced, and its overlap has passed",
		"Use the current token in Secret " + o.Status.SecretName + ". The client did not pick up a rotation."}
	if kube.Imported(o) {
		out.help = "Get the current token from the owner of the key. The client did not pick up a rotation."
	}
	for _, cred := range kube.Credentials(o) {
		if cred.Digest == digest && !cred.ValidUntil.IsZero() {
			end := cred.ValidUntil.UTC().Format(time.RFC3339)
			out.passed = "it is accepted until " + end
			if cred.Phase == apikey.Retiring {
				out.passed = "it was replaced; it is accepted until " + end
			}
			out.failed += ": it was accepted until " + end
		}
	}
	return out
}

func networkCheck(o *v1alpha1.ApiKey, from string) check {
	out := check{reason: denial.Network, passed: "every network may use the key"}
	if len(o.Spec.AllowedCIDRs) == 0 {
		return out
	}
	networks := joined(o.Spec.AllowedCIDRs, "")
	out.passed = from + " may use the key: it is accepted from " + networks
	out.failed = "it is accepted from " + networks + " only, not from " + from
	out.help = "If the client belongs there, add its network to spec.allowedCIDRs."
	if from == "" {
		out.failed = "it is accepted from " + networks + " only, and no address is given"
		out.help = "Give the address of the client with --from."
	}
	return out
}

// permissionChecks are the checks of the required role and scopes.
func (a *attempt) permissionChecks(p authn.Principal) (out []check) {
	if a.role != "" {
		out = append(out, check{denial.Role, "its role is " + p.Role.String(),
			"its role is " + p.Role.String() + ", which is less than " + a.role,
			"Set spec.role. That requires the verb grant on apikeyroles/" + a.role + "."})
	}
	if len(a.scopes) > 0 {
		out = append(out, check{denial.Scope, "it has the scopes " + strings.Join(a.scopes, ", "),
			"it is limited to the scopes " + string(p.Scopes) + "; required: " + strings.Join(a.scopes, ", "),
			"Add the missing scopes to spec.scopes. That requires the verb grant on apikeyscopes of each."})
	}
	return out
}
