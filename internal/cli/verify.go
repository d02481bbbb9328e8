// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kaana/apikey-operator/internal/authn"
)

// errForeign is the error for a token that only a server with the issuer's keys can verify.
var errForeign = errors.New(
	"only the server can verify the signature, issuer and audience of a JWT: give --server-url",
)

func (c *cli) verify() *cobra.Command {
	var a attempt
	var format string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check whether a token is accepted, and whose it is; the token is read from standard input",
		Long: `Check whether a token is accepted, and whose it is. The token is read from standard input, or typed
without being shown. It is hashed here, and only its SHA-256 is compared with the ApiKeys of the
cluster. With --server-url the token is sent to the server instead, which also verifies JWTs.`,
		Example: `  kubectl get secret billing -o jsonpath='{.data.token}' | base64 -d | kubectl apikey verify
  kubectl apikey verify --scope=projects:read --from=10.1.2.3 < token`,
		Args: noArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != formatTable && format != "json" {
				return exit{exitUsage, fmt.Errorf("-o %s: want table or json", format)}
			}
			if err := a.parse(); err != nil {
				return err
			}
			return c.checkToken(cmd.Context(), &a, format)
		},
	}
	a.add(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", formatTable, "table or json")
	return cmd
}

// identity is the JSON output of verify.
type identity struct {
	Accepted bool     `json:"accepted"`
	Reason   string   `json:"reason,omitempty"` // why it is refused
	Key      string   `json:"key,omitempty"`
	ID       string   `json:"id,omitempty"`
	Username string   `json:"username,omitempty"`
	Role     string   `json:"role,omitempty"`
	Tenant   string   `json:"tenant,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	Expires  string   `json:"expires,omitempty"`
}

func identityOf(p authn.Principal, denied authn.Denial) identity {
	out := identity{Accepted: !denied.Denied(), Reason: denied.String(), Key: p.Key.String()}
	if !p.Known() {
		return out
	}
	out.ID, out.Username, out.Role, out.Tenant = p.ID(), p.Username(), p.Role.String(), p.Tenant
	out.Scopes = strings.Fields(string(p.Scopes))
	if !p.Expires.IsZero() {
		out.Expires = p.Expires.UTC().Format(time.RFC3339)
	}
	return out
}

func (c *cli) checkToken(ctx context.Context, a *attempt, format string) error {
	token, err := c.readToken()
	if err != nil {
		return err
	}
	if a.url != "" {
		return c.serverVerdict(ctx, a.serverFlags, token)
	}
	v, err := c.verifyToken(ctx, a, token)
	if err != nil {
		return err
	}
	if v.foreign(token) && authn.KindOf(token) == authn.KindJWT {
		return exit{exitUsage, errForeign}
	}
	return c.printIdentity(identityOf(v.principal, v.denied), format)
}

func (c *cli) printIdentity(who identity, format string) error {
	if format == "json" {
		text, err := json.Marshal(who)
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		c.printf("%s", text)
	} else if who.Accepted {
		c.printf("accepted: %s, role %s, tenant %s, key %s", who.Username, who.Role, who.Tenant, who.Key)
	}
	if who.Accepted {
		return nil
	}
	key := ""
	if who.Key != "" {
		key = " (key " + who.Key + ")"
	}
	return exit{exitRefused, fmt.Errorf("refused: %s%s; run kubectl apikey explain for details", who.Reason, key)}
}
