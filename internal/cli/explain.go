// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
)

func (c *cli) explain() *cobra.Command {
	var a attempt
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Explain why a token is refused, check by check; the token is read from standard input",
		Long: `Explain why a token is refused: the checks of the server in their order, up to the first that fails.
The token is read from standard input and never shown. The server returns only one of four codes to
a client; this command shows the reason to users who may list ApiKeys.`,
		Example: `  kubectl apikey explain < token
  kubectl apikey explain --from=10.1.2.3 --scope=invoices:write < token`,
		Args: noArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.parse(); err != nil {
				return err
			}
			return c.explainToken(cmd.Context(), &a)
		},
	}
	a.add(cmd)
	return cmd
}

// explainToken looks the token up first: without issuers, the server treats a string in the form of a JWT as an
// imported token.
func (c *cli) explainToken(ctx context.Context, a *attempt) error {
	token, err := c.readToken()
	if err != nil {
		return err
	}
	v, err := c.verifyToken(ctx, a, token)
	if err != nil {
		return err
	}
	kind := authn.KindOf(token)
	switch {
	case v.foreign(token) && kind == authn.KindJWT:
		return c.explainJWT(ctx, a, token)
	case v.foreign(token):
		c.printf(
			"✗ It is an encrypted access token (JWE): request a token for an audience (API identifier) from the issuer.",
		)
		return refusal(denial.Unknown)
	case kind == authn.KindJWT:
		c.printf("! It has the form of a JWT. A server with configured issuers verifies it as a JWT, not as this key.")
	}
	checks := append(c.keyChecks(a, token, v), a.permissionChecks(v.principal)...)
	if err := c.printChecks(checks, v.denied.Reason); err != nil {
		return err
	}
	p := v.principal
	c.printf("accepted: %s, role %s, tenant %s", p.Username(), p.Role, p.Tenant)
	if a.url != "" {
		return c.serverVerdict(ctx, a.serverFlags, token)
	}
	return nil
}

// printChecks prints the checks up to the one that failed.
func (c *cli) printChecks(checks []check, failed denial.Reason) error {
	for _, s := range checks {
		if s.reason == failed {
			c.printf("✗ %s", s.failed)
			c.printf("  %s", s.help)
			break
		}
		c.printf("✓ %s", s.passed)
	}
	if failed != denial.None {
		return refusal(failed)
	}
	return nil
}

func refusal(reason denial.Reason) error { return exit{exitRefused, fmt.Errorf("refused: %s", reason)} }

// explainJWT prints what a JWT claims. Only the server can verify it.
func (c *cli) explainJWT(ctx context.Context, a *attempt, token string) error {
	var claims map[string]any
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || json.Unmarshal(text, &claims) != nil {
		c.printf("✗ It has the form of a JWT, but its claims cannot be read.")
		c.printf("  Part of it was lost or mistyped. Copy it again from where it is stored.")
		return refusal(denial.Malformed)
	}
	c.printf("It is a JWT, not an API key. It claims, without proof: issuer %s, audience %s, subject %s",
		claim(claims, "iss"), claim(claims, "aud"), claim(claims, "sub"))
	exp, ok := claims["exp"].(float64)
	if !ok {
		c.printf("✗ it has no expiry (exp)")
		c.printf("  Request a token with an expiry from the issuer.")
		return refusal(denial.NoExpiry)
	}
	if end := time.Unix(int64(exp), 0); !c.now().Before(end) {
		c.printf("✗ it expired at %s", end.UTC().Format(time.RFC3339))
		c.printf("  Request a new token from the issuer.")
		return refusal(denial.Expired)
	}
	if a.url == "" {
		return exit{exitUsage, errForeign}
	}
	return c.serverVerdict(ctx, a.serverFlags, token)
}

func claim(claims map[string]any, name string) string {
	if claims[name] == nil {
		return "none"
	}
	return fmt.Sprint(claims[name])
}
