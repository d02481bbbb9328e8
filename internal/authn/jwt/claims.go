// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kaana/apikey-operator/internal/authn"
)

const maxName = 253

// subject turns the claims of a verified token into a principal. The error is the reason why they
// name none.
func (c *Config) subject(claims map[string]any) (authn.Principal, error) {
	for i, r := range c.ClaimValidationRules {
		if err := r.evaluate(claims); err != nil {
			return authn.Principal{}, fmt.Errorf("claimValidationRules[%d]: %w", i, err)
		}
	}
	m, p := &c.ClaimMappings, authn.Principal{Method: authn.JWT}
	var role string
	for _, f := range []struct {
		name   string
		at     Mapping
		to     *string
		claims []string
	}{
		{"id", m.ID, &p.Account.ID, []string{"sub"}},
		{
			"username", m.Username, &p.Account.Username,
			[]string{m.Namespace + "username", m.Namespace + "email", "email", "sub"},
		},
		{"role", m.Role, &role, []string{m.Namespace + "role"}},
		{"tenant", m.Tenant, &p.Tenant, []string{m.Namespace + "tenant", "org_id"}},
	} {
		text, err := f.at.find(claims, f.claims)
		if err != nil {
			return authn.Principal{}, fmt.Errorf("%s: %w", f.name, err)
		}
		if text = f.at.Prefix + text; !validName(text) {
			return authn.Principal{}, fmt.Errorf(
				"%s: want 1 to %d printable ASCII characters without spaces, and no name of the system",
				f.name,
				maxName,
			)
		}
		*f.to = text
	}
	p.Role = authn.ParseRole(role)
	switch {
	case p.Role == authn.NoRole:
		return authn.Principal{}, errors.New("role: want admin, member or viewer")
	case strings.Contains(p.Tenant, "/"): // the form of a Namespace that is its own tenant
		return authn.Principal{}, errors.New("tenant: must not contain a slash")
	}
	scopes, limited, err := m.scopes(claims)
	if err != nil {
		return authn.Principal{}, fmt.Errorf("scopes: %w", err)
	}
	if limited {
		p.Scopes = authn.NoScopes
		if len(scopes) > 0 {
			p.Scopes = authn.Scopes(strings.Join(scopes, " "))
		}
	}
	return p, nil
}

func (r *ClaimRule) evaluate(claims map[string]any) error {
	if r.program == nil {
		if v, ok := claims[r.Claim].(string); !ok || v != r.RequiredValue {
			return fmt.Errorf("claim %s is not what is required", r.Claim)
		}
		return nil
	}
	out, _, err := r.program.Eval(map[string]any{"claims": claims})
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if ok, isBool := out.Value().(bool); !isBool || !ok {
		return fmt.Errorf("does not hold: %s", r.Message)
	}
	return nil
}

// find returns the property, from the configured claim or expression or else the first of those
// claims that is there.
func (m *Mapping) find(claims map[string]any, names []string) (string, error) {
	if m.program != nil {
		return m.evaluate(claims)
	}
	if m.Claim != "" {
		names = []string{m.Claim}
	}
	for _, name := range names {
		if _, there := claims[name]; !there || m.unverified(name, claims) {
			continue
		}
		text, ok := claims[name].(string)
		if !ok {
			return "", fmt.Errorf("claim %s is no string", name)
		}
		return text, nil
	}
	if m.Default != "" {
		return m.Default, nil
	}
	return "", fmt.Errorf("no claim %s", strings.Join(names, ", "))
}

// unverified reports whether a claim is an e-mail address that the issuer has not verified, which is
// nobody's name. An address that is asked for by name is used when the token does not say whether it is verified, and
// not when it says that it is not.
func (m *Mapping) unverified(name string, claims map[string]any) bool {
	verified, said := claims["email_verified"]
	return name == "email" && verified != true && (said || m.Claim == "")
}

func (m *Mapping) evaluate(claims map[string]any) (string, error) {
	out, _, err := m.program.Eval(map[string]any{"claims": claims})
	if err != nil {
		return "", fmt.Errorf("evaluate: %w", err)
	}
	text, ok := out.Value().(string)
	if !ok {
		return "", errors.New("the expression returns no string")
	}
	return text, nil
}

// scopes returns the scopes that a token is limited to, and false when it is not limited.
func (m *Mappings) scopes(claims map[string]any) (out []string, limited bool, err error) {
	if m.Scopes.program != nil {
		v, _, err := m.Scopes.program.Eval(map[string]any{"claims": claims})
		if err != nil {
			return nil, true, fmt.Errorf("evaluate: %w", err)
		}
		native, err := v.ConvertToNative(reflect.TypeFor[[]string]())
		if err != nil {
			return nil, true, errors.New("the expression returns no list of strings")
		}
		out, _ = native.([]string)
		return checked(out)
	}
	names := []string{"permissions", "scope"}
	if m.Scopes.Claim != "" {
		names = []string{m.Scopes.Claim}
	}
	for _, name := range names {
		claim, there := claims[name]
		if !there {
			continue
		}
		some, err := list(claim)
		if err != nil {
			return nil, true, fmt.Errorf("claim %s %w", name, err)
		}
		out, limited = append(out, some...), true
	}
	if !limited {
		return nil, false, nil
	}
	return checked(out)
}

// list reads a claim that is a list of strings, or a string of several separated by spaces (RFC 8693,
// section 4.2).
func list(claim any) (out []string, err error) {
	switch v := claim.(type) {
	case nil: // how some write an empty list
		return nil, nil
	case string:
		return strings.Fields(v), nil
	case []any:
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil, errors.New("is no list of strings")
			}
			out = append(out, text)
		}
		return out, nil
	}
	return nil, errors.New("is neither a string nor a list")
}

// signIn are the scopes of OpenID Connect (Core 1.0, sections 5.4 and 11). They say what an application learns of a
// person, and permit nothing here; Auth0 repeats them in access tokens.
var signIn = []string{"openid", "profile", "email", "address", "phone", "offline_access"}

// checked returns each scope once, without those of signing in. It refuses what would be read as two, or could not
// travel in a header.
func checked(scopes []string) (out []string, limited bool, err error) {
	for _, s := range scopes {
		if !printable(s) {
			return nil, true, errors.New("want printable ASCII characters without spaces")
		}
		if !slices.Contains(signIn, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out, true, nil
}

// validName reports whether a text may name somebody.
func validName(text string) bool {
	return printable(text) && !strings.HasPrefix(text, "system:") && !strings.HasPrefix(text, "apikey:")
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
