// SPDX-License-Identifier: Apache-2.0

package jwt

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/kaana/apikey-operator/internal/trust"
)

// Config is one issuer, in the shape of the JWTAuthenticator of Kubernetes'
// AuthenticationConfiguration.
type Config struct {
	Issuer Issuer `json:"issuer"`
	// ClaimMappings say who the subject of a token is. The defaults suit Auth0.
	ClaimMappings Mappings `json:"claimMappings"`
	// ClaimValidationRules must all hold of a token.
	ClaimValidationRules []ClaimRule `json:"claimValidationRules"`
}

// Issuer says whose tokens, and which of them, are accepted.
type Issuer struct {
	// URL is the claim iss, to the letter; Auth0's ends in a slash. https only. Required.
	URL string `json:"url"`
	// Audiences: the claim aud must have one of them. Required.
	Audiences []string `json:"audiences"`
	// Algorithms that tokens may be signed with. Default RS256. HMAC and none are impossible.
	Algorithms []string `json:"algorithms"`
	// DiscoveryURL is where the issuer's metadata are. Default: URL and
	// .well-known/openid-configuration.
	DiscoveryURL string `json:"discoveryURL"`
	// CertificateAuthority holds the PEM certificates that the issuer's certificate is verified by.
	// Default: those of the system.
	CertificateAuthority string `json:"certificateAuthority"`
	// CertificateAuthorityFile names a file with these.
	CertificateAuthorityFile string `json:"certificateAuthorityFile"`
}

// Mapping finds one property in the claims of a token.
type Mapping struct {
	// Claim is the name of a claim that is a string.
	Claim string `json:"claim"`
	// Expression is one in CEL over `claims`, which returns a string. Excludes claim.
	Expression string `json:"expression"`
	// Default is taken when the claim is absent.
	Default string `json:"default"`
	// Prefix starts the value, also of an expression. For id and username only.
	Prefix string `json:"prefix"`

	program cel.Program
}

// Mappings find the properties of a principal.
type Mappings struct {
	// Namespace starts the names of an issuer's own claims. Default "https://kaana.com/".
	Namespace string `json:"namespace"`
	// ID of the account. Default: claim sub. With several issuers each needs another prefix, because an issuer promises
	// only that it gives no ID to two accounts of its own (OpenID Connect Core 1.0, section 2).
	ID Mapping `json:"id"`
	// Username of the account. Default: the claim <namespace>username, <namespace>email, email if
	// email_verified is true, or else sub.
	Username Mapping `json:"username"`
	// Role: admin, member or viewer. Default: claim <namespace>role. Without one a token is refused.
	Role Mapping `json:"role"`
	// Tenant. Default: claim <namespace>tenant, or org_id. Without one a token is refused.
	Tenant Mapping `json:"tenant"`
	// Scopes is an expression that returns a list of strings. Default: the claims permissions and
	// scope together; a token that has neither is not limited in scope.
	Scopes Mapping `json:"scopes"`
}

// ClaimRule must hold of a token.
type ClaimRule struct {
	// Claim must have RequiredValue.
	Claim         string `json:"claim"`
	RequiredValue string `json:"requiredValue"`
	// Expression, in CEL over `claims`, must be true. Excludes claim.
	Expression string `json:"expression"`
	// Message says what it wants, for the log.
	Message string `json:"message"`

	program cel.Program
}

// FieldError is what is wrong with one field of a configuration.
type FieldError struct {
	Path []any // names and indexes from the Config down
	Err  error
}

// Error implements error.
func (e *FieldError) Error() string { return Path(e.Path) + ": " + e.Err.Error() }

// Unwrap implements errors.
func (e *FieldError) Unwrap() error { return e.Err }

// Path writes the way to a field, like issuer.audiences[0].
func Path(path []any) string {
	var out strings.Builder
	for _, p := range path {
		switch p := p.(type) {
		case int:
			fmt.Fprintf(&out, "[%d]", p)
		default:
			if out.Len() > 0 {
				out.WriteByte('.')
			}
			fmt.Fprint(&out, p)
		}
	}
	return out.String()
}

func fieldError(err error, path ...any) error { return &FieldError{Path: path, Err: err} }

var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// setDefaults fills in the defaults, compiles the expressions and returns the first thing that is
// wrong, a FieldError.
func (c *Config) setDefaults() error {
	if err := c.Issuer.setDefaults(); err != nil {
		return err
	}
	m := &c.ClaimMappings
	if m.Namespace == "" {
		m.Namespace = "https://kaana.com/"
	}
	for _, f := range []struct {
		name string
		at   *Mapping
		kind *cel.Type
	}{
		{"id", &m.ID, cel.StringType}, {"username", &m.Username, cel.StringType}, {"role", &m.Role, cel.StringType},
		{"tenant", &m.Tenant, cel.StringType}, {"scopes", &m.Scopes, cel.ListType(cel.StringType)},
	} {
		if err := f.at.setDefaults(f.name, f.kind); err != nil {
			return err
		}
	}
	return c.compileRules()
}

// setDefaults checks the mapping of that name and compiles its expression.
func (m *Mapping) setDefaults(name string, kind *cel.Type) (err error) {
	switch {
	case m.Claim != "" && m.Expression != "":
		return fieldError(errors.New("give claim or expression, not both"), "claimMappings", name)
	case m.Default != "" && name == "scopes":
		return fieldError(errors.New("there is no default for scopes: use an expression"), "claimMappings", name)
	case m.Prefix != "" && name != "id" && name != "username":
		return fieldError(errors.New("only id and username can have one"), "claimMappings", name, "prefix")
	case m.Expression == "":
		return nil
	}
	if m.program, err = compile(m.Expression, kind); err != nil {
		return fieldError(err, "claimMappings", name, "expression")
	}
	return nil
}

func (c *Config) compileRules() error {
	for i := range c.ClaimValidationRules {
		r := &c.ClaimValidationRules[i]
		if (r.Claim == "") == (r.Expression == "") {
			return fieldError(errors.New("give either claim or expression"), "claimValidationRules", i)
		}
		if r.Expression == "" {
			continue
		}
		var err error
		if r.program, err = compile(r.Expression, cel.BoolType); err != nil {
			return fieldError(err, "claimValidationRules", i, "expression")
		}
	}
	return nil
}

func (i *Issuer) setDefaults() error {
	if err := requireHTTPS(i.URL); err != nil {
		return fieldError(err, "issuer", "url")
	}
	if i.DiscoveryURL == "" {
		i.DiscoveryURL = strings.TrimSuffix(i.URL, "/") + "/.well-known/openid-configuration"
	}
	if err := requireHTTPS(i.DiscoveryURL); err != nil {
		return fieldError(err, "issuer", "discoveryURL")
	}
	if len(i.Audiences) == 0 || slices.Contains(i.Audiences, "") {
		return fieldError(
			errors.New("name at least one audience, and none that is empty: a token for another API must not be accepted"),
			"issuer",
			"audiences",
		)
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = []string{"RS256"}
	}
	for n, a := range i.Algorithms {
		if !slices.Contains(algorithms, a) {
			return fieldError(fmt.Errorf("%q is none of %s", a, strings.Join(algorithms, ", ")), "issuer", "algorithms", n)
		}
	}
	return nil
}

// Client returns the HTTP client that asks the issuer, for its keys and at sign-in. The error is a FieldError.
func (i *Issuer) Client() (*http.Client, error) {
	field, text := "certificateAuthority", []byte(i.CertificateAuthority)
	if i.CertificateAuthorityFile != "" {
		field = "certificateAuthorityFile"
		if i.CertificateAuthority != "" {
			return nil, fieldError(errors.New("excludes certificateAuthority"), "issuer", field)
		}
		var err error
		if text, err = os.ReadFile(i.CertificateAuthorityFile); err != nil {
			return nil, fieldError(err, "issuer", field)
		}
	}
	if field == "certificateAuthority" && len(text) == 0 {
		return trust.Client(nil, fetchTimeout), nil
	}
	roots, err := trust.Pool(text)
	if err != nil {
		return nil, fieldError(err, "issuer", field)
	}
	return trust.Client(roots, fetchTimeout), nil
}

// requireHTTPS wants an absolute https URL.
func requireHTTPS(address string) error {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return errors.New("is required")
	case err != nil:
		return err
	case u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q: want an https URL like https://tenant.auth0.com/", address)
	}
	return nil
}

// compile makes a program of an expression over `claims` that returns that type.
func compile(expression string, want *cel.Type) (cel.Program, error) {
	env, err := cel.NewEnv(cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)), cel.OptionalTypes())
	if err != nil {
		return nil, fmt.Errorf("make CEL environment: %w", err)
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, errors.New(strings.ReplaceAll(issues.Err().Error(), "\n", " "))
	}
	if got := ast.OutputType(); got.Kind() != want.Kind() && got.Kind() != cel.DynKind {
		return nil, fmt.Errorf("returns %s, want %s", got, want)
	}
	return env.Program(ast, cel.CostLimit(1_000_000))
}

// distinctAccounts fails when two issuers could name the same account: with several issuers, the prefix of each account
// ID must tell whose it is.
func distinctAccounts(configs []Config) error {
	if len(configs) < 2 {
		return nil
	}
	for i, c := range configs {
		for j, other := range configs {
			if i != j && strings.HasPrefix(other.ClaimMappings.ID.Prefix, c.ClaimMappings.ID.Prefix) {
				return fieldError(errors.New("with several issuers each needs a prefix that no other prefix begins with, "+
					`such as "corp:"; otherwise one issuer could name an account of another`), i, "claimMappings", "id", "prefix")
			}
		}
	}
	return nil
}
