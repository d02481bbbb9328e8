// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

// readToken reads a token from standard input. A terminal does not echo it.
func (c *cli) readToken() (string, error) {
	var text []byte
	var err error
	if f, ok := c.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(c.ErrOut, "Token (not shown): ")
		text, err = term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(c.ErrOut)
	} else {
		text, err = io.ReadAll(io.LimitReader(c.In, 2*apikey.MaxTokenBytes))
	}
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", exit{exitUsage,
			errors.New("standard input is empty: give the token there, like kubectl apikey verify < token-file")}
	}
	return token, nil
}

// noArgs refuses arguments without repeating them: they may be tokens.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("arguments are not accepted: give the token on standard input, like %s < token-file. "+
		"If an argument was a token, other users and the shell history may have it: rotate it", cmd.CommandPath())
}

// attempt are the flags of verify and explain: how the token is presented, and what for.
type attempt struct {
	serverFlags

	from    string
	role    string
	scopes  []string
	address netip.Addr // parsed from the flag from
}

func (a *attempt) add(cmd *cobra.Command) {
	a.serverFlags.add(cmd)
	cmd.Flags().StringVar(&a.from, "from", "", "IP address of the client, for keys with allowedCIDRs")
	cmd.Flags().StringVar(&a.role, "role", "", "require at least this role: viewer, member or admin")
	cmd.Flags().StringSliceVar(&a.scopes, "scope", nil, "require this scope; repeatable")
	completeValues(cmd, "role", roles)
}

// parse checks the flags and reads the address.
func (a *attempt) parse() error {
	if a.role != "" && !slices.Contains(roles, a.role) {
		return exit{exitUsage, fmt.Errorf("--role=%s: %w", a.role, errRole)}
	}
	if a.from == "" {
		return nil
	}
	var err error
	if a.address, err = netip.ParseAddr(a.from); err != nil {
		return exit{exitUsage, fmt.Errorf("--from=%s: want an IP address like 10.1.2.3", a.from)}
	}
	return nil
}

// permit returns the denial of a principal that lacks the required role or a required scope.
func (a *attempt) permit(p authn.Principal) authn.Denial {
	for _, scope := range append([]string{""}, a.scopes...) {
		if d := (authn.Rule{Role: authn.ParseRole(a.role), Scope: scope}).Permit(p); d.Denied() {
			return d
		}
	}
	return authn.Denial{}
}
