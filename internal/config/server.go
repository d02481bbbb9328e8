// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/authn/jwt"
)

const (
	// leastRetention of activity: minutes are kept for two days.
	leastRetention = 48 * time.Hour
	// noDatabase is the database that keeps nothing.
	noDatabase = "off"
)

// Server is the configuration file of `apikey-operator server`.
type Server struct {
	Log `json:",inline"`

	// TokenPrefix starts every token; the same as the controller's. Default "kaana".
	TokenPrefix string `json:"tokenPrefix"`
	// WatchNamespaces limits the process to the ApiKeys of these Namespaces. Default none: all of the cluster.
	WatchNamespaces []string `json:"watchNamespaces"`
	// Listen is the address of all HTTPS endpoints. Default ":8443".
	Listen string `json:"listen"`
	// Metrics is the address of /metrics over HTTPS, with the same certificate; "0" turns it off.
	// Default ":8080".
	Metrics string `json:"metrics"`
	// ExtAuthz is the address of Envoy's ext_authz over gRPC with TLS, with the same certificate;
	// "0" turns it off. Default ":9001".
	ExtAuthz string `json:"extAuthz"`
	// TLS names the PEM files of the certificate; they are reloaded when they change. Required.
	TLS Files `json:"tls"`
	// TokenReview is the endpoint of kube-apiserver.
	TokenReview struct {
		// UsernamePrefix starts the names of accounts in Kubernetes. Default "kaana:".
		UsernamePrefix string `json:"usernamePrefix"`
		// Audiences are those that keys and JWTs are valid for in Kubernetes, besides the API server itself. Default none.
		Audiences []string `json:"audiences"`
		// ClientCAFile names the PEM certificates of the CAs whose clients may ask. Without it any client may, and learns
		// about a token only what it would learn by using it.
		ClientCAFile string `json:"clientCAFile"`
	} `json:"tokenReview"`
	// TrustedProxies are networks whose X-Forwarded-For is believed. Default none.
	TrustedProxies []string `json:"trustedProxies"`
	// MaxStaleness is how long verdicts are given without contact to the API server, like 1h; after that every answer is
	// 503. Default 0: without a limit.
	MaxStaleness metav1.Duration `json:"maxStaleness"`
	// Activity configures the usage database.
	Activity struct {
		// Database is the path of a SQLite file, which serves one replica, or postgres://… for any number;
		// "off" keeps nothing. Default "/var/lib/apikey-operator/activity.db".
		Database string `json:"database"`
		// DatabaseFile names a file with the database, instead of Database, because a URL has a password.
		DatabaseFile string `json:"databaseFile"`
		// Retention is how long activity is kept, at least 48h. Default 2160h, 90 days.
		Retention metav1.Duration `json:"retention"`
	} `json:"activity"`
	// Pages is where people sign in to Settings > API Keys. Without clientID there are no pages.
	Pages struct {
		// Issuer is where people sign in: one of jwt. Default: the first.
		Issuer string `json:"issuer"`
		// ClientID is that of this application at the issuer.
		ClientID string `json:"clientID"`
		// ClientSecretFile holds the application's secret; none: a public client.
		ClientSecretFile string `json:"clientSecretFile"`
		// Scopes are requested at sign-in, besides openid, profile, email and offline_access. An issuer that puts the
		// scopes of a sign-in into access tokens, as Auth0 does, limits people to them. Default what the pages do:
		// projects:read, keys:read, keys:write and activity:read.
		Scopes []string `json:"scopes"`
		// URL is that of this server as people reach it, without a path.
		URL string `json:"url"`
		// SessionKeyFile holds 32 random bytes that seal cookies, the same for all replicas.
		SessionKeyFile string `json:"sessionKeyFile"`
	} `json:"pages"`
	// JWT lists the OpenID Connect issuers whose tokens are accepted.
	JWT []jwt.Config `json:"jwt"`

	file    string
	format  apikey.Format
	proxies []netip.Prefix
}

// DefaultServer returns the defaults of a server's configuration. A certificate is missing.
func DefaultServer() Server {
	cfg := Server{TokenPrefix: apikey.DefaultPrefix, Listen: ":8443", Metrics: ":8080", ExtAuthz: ":9001"}
	cfg.TokenReview.UsernamePrefix = "kaana:" // apart from the cluster's other users
	cfg.Pages.Scopes = []string{
		authn.ReadProjects.Scope,
		authn.ReadKeys.Scope,
		authn.WriteKeys.Scope,
		authn.ReadActivity.Scope,
	}
	cfg.Activity.Database = "/var/lib/apikey-operator/activity.db"
	cfg.Activity.Retention.Duration = 90 * 24 * time.Hour
	return cfg
}

// LoadServer reads a configuration file over the defaults and validates the result.
func LoadServer(file string) (Server, error) {
	cfg := DefaultServer()
	cfg.file = file
	if err := load(file, &cfg); err != nil {
		return Server{}, err
	}
	if err := cfg.validate(); err != nil {
		return Server{}, fmt.Errorf("configuration: %w", err)
	}
	return cfg, nil
}

// Format returns the format of tokens.
func (c *Server) Format() apikey.Format { return c.format }

// Proxies returns the networks of TrustedProxies.
func (c *Server) Proxies() []netip.Prefix { return c.proxies }

// Issuers returns the verifier of the tokens of the configured issuers. An error names its line in the file.
func (c *Server) Issuers(now func() time.Time) (*jwt.Verifier, error) {
	tokens, err := jwt.New(c.JWT, now)
	var field *jwt.FieldError
	if errors.As(err, &field) {
		path := append([]any{"jwt"}, field.Path...)
		return nil, fmt.Errorf("configuration %s: %s%s: %w", c.file, lineOf(c.file, path...), jwt.Path(path), field.Err)
	}
	return tokens, err //nolint:wrapcheck // says what is wrong
}

// Database returns where activity is stored, and false when it is not.
func (c *Server) Database() (string, bool, error) {
	text, err := ReadFile("activity.databaseFile", c.Activity.DatabaseFile)
	if err != nil {
		return "", false, err
	}
	database := c.Activity.Database
	if text != nil {
		database = strings.TrimSpace(string(text))
	}
	return database, database != noDatabase, nil
}

// PagesIssuer returns the issuer that people sign in at, and false when there are no pages.
func (c *Server) PagesIssuer() (jwt.Config, bool, error) {
	p := c.Pages
	if p.ClientID == "" {
		return jwt.Config{}, false, nil
	}
	at, err := url.Parse(p.URL)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.Path != "" {
		return jwt.Config{}, false,
			errors.New("configuration: pages.url: want https:// and a host, as people reach this server, without a path")
	}
	for _, issuer := range c.JWT {
		if p.Issuer == "" || issuer.Issuer.URL == p.Issuer {
			return issuer, true, nil
		}
	}
	return jwt.Config{}, false, errors.New(
		"configuration: pages.issuer: want the URL of an issuer of jwt, whose tokens are accepted",
	)
}

// validate returns the first thing wrong with the configuration, and reads its token format and networks.
func (c *Server) validate() (err error) {
	if c.format, err = apikey.NewFormat(c.TokenPrefix); err != nil {
		return err //nolint:wrapcheck // names the prefix
	}
	if c.TLS.CertFile == "" || c.TLS.KeyFile == "" {
		return errors.New("tls: certFile and keyFile are required; the server speaks HTTPS only")
	}
	if err := validateAddress("listen", c.Listen, true); err != nil {
		return err
	}
	for field, address := range map[string]string{"metrics": c.Metrics, "extAuthz": c.ExtAuthz} {
		if err := validateAddress(field, address, false); err != nil {
			return err
		}
	}
	if c.Activity.Retention.Duration < leastRetention {
		return fmt.Errorf("activity.retention: want %dh or more", int(leastRetention.Hours()))
	}
	if c.MaxStaleness.Duration < 0 {
		return errors.New("maxStaleness: want a duration like 1h, or 0 for no limit")
	}
	const theirs = "system:" // a name may add what the prefix lacks of it
	p := c.TokenReview.UsernamePrefix
	if p == "" {
		return errors.New(
			"tokenReview.usernamePrefix: must not be empty: accounts would have the names of other users of the cluster",
		)
	}
	if p[:min(len(p), len(theirs))] == theirs[:min(len(p), len(theirs))] {
		return errors.New(
			"tokenReview.usernamePrefix: must not lead to names of system:, which Kubernetes keeps for itself",
		)
	}
	return cmp.Or(validateNamespaces(c.WatchNamespaces), c.readProxies())
}

func (c *Server) readProxies() error {
	for i, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("trustedProxies[%d]: want a network like 10.0.0.0/8: %w", i, err)
		}
		c.proxies = append(c.proxies, network.Masked())
	}
	return nil
}
