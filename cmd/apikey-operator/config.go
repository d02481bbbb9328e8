// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/authn/jwt"
)

// ControllerConfig is the configuration file of `apikey-operator controller`.
type ControllerConfig struct {
	// TokenPrefix starts every token: 1 to 16 lower-case letters and digits. Default "kaana".
	TokenPrefix string `json:"tokenPrefix"`
	// Workers is how many ApiKeys are reconciled at once, 1 to 100. Default 10.
	Workers int `json:"workers"`
	// WatchNamespaces limits the process to the ApiKeys of these Namespaces. Default none: all of the cluster.
	WatchNamespaces []string `json:"watchNamespaces"`
	// Probes is the address of /healthz and /readyz over plain HTTP. Default ":8081".
	Probes string `json:"probes"`
	// Metrics is the address of /metrics over HTTPS, with a certificate made at start; "0" turns
	// it off. Default ":8080".
	Metrics string `json:"metrics"`
	// RequirePolicies makes the controller refuse to mint while the ValidatingAdmissionPolicies of
	// config/policy are not in force. Default true.
	RequirePolicies bool `json:"requirePolicies"`
	// Admission is the webhook that stamps ApiKeys and warns of mistakes.
	Admission struct {
		// Listen is its address, HTTPS; "0" turns it off. Default ":9443".
		Listen string `json:"listen"`
		// Host is the DNS name that the API server calls it by. Default
		// "apikey-operator-admission.<namespace>.svc".
		Host string `json:"host"`
		// Namespace of the Secret with its certificate, and of those of server. Default: the Pod's own; required
		// outside a cluster, unless TLS is given.
		Namespace string `json:"namespace"`
		// TLS names the PEM files of a certificate that somebody else keeps, like cert-manager.
		// Without it the controller makes one and tells the API server to trust it.
		TLS Files `json:"tls"`
	} `json:"admission"`
	// Server is what the controller makes for the server, which cannot read a Secret through the API and mounts it.
	Server struct {
		// CertificateSecret is the Secret, of type kubernetes.io/tls, that a certificate of a CA of its own is kept in
		// (ca.crt), and renewed. Default none: somebody else makes one.
		CertificateSecret string `json:"certificateSecret"`
		// Hosts are DNS names of the certificate, besides apikey-operator-server.<namespace>.svc.
		Hosts []string `json:"hosts"`
		// SessionKeySecret is the Secret that a key for pages.sessionKeyFile is kept in, under session-key.
		// Default none.
		SessionKeySecret string `json:"sessionKeySecret"`
	} `json:"server"`
	// LeaderElection lets one of several replicas work and the others wait.
	LeaderElection struct {
		// Enabled turns it on. Default true.
		Enabled bool `json:"enabled"`
		// Namespace of the Lease. Default: the Pod's own; required outside a cluster.
		Namespace string `json:"namespace"`
	} `json:"leaderElection"`
}

// ServerConfig is the configuration file of `apikey-operator server`.
type ServerConfig struct {
	// TokenPrefix starts every token; the same as the controller's. Default "kaana".
	TokenPrefix string `json:"tokenPrefix"`
	// WatchNamespaces limits the process to the ApiKeys of these Namespaces. Default none: all of the cluster.
	WatchNamespaces []string `json:"watchNamespaces"`
	// Listen is the address of all HTTPS doors. Default ":8443".
	Listen string `json:"listen"`
	// Metrics is the address of /metrics over HTTPS, with the same certificate; "0" turns it off.
	// Default ":8080".
	Metrics string `json:"metrics"`
	// ExtAuthz is the address of Envoy's ext_authz over gRPC with TLS, with the same certificate;
	// "0" turns it off. Default ":9001".
	ExtAuthz string `json:"extAuthz"`
	// TLS names the PEM files of the certificate; they are reloaded when they change. Required.
	TLS Files `json:"tls"`
	// TokenReview is the door of kube-apiserver.
	TokenReview struct {
		// UsernamePrefix starts the names of accounts in Kubernetes. Default "kaana:".
		UsernamePrefix string `json:"usernamePrefix"`
		// ClientCAFile names the PEM certificates of who may ask. Without it anybody may, who learns
		// about a token only what they learn by using it.
		ClientCAFile string `json:"clientCAFile"`
	} `json:"tokenReview"`
	// TrustedProxies are networks whose X-Forwarded-For is believed. Default none.
	TrustedProxies []string `json:"trustedProxies"`
	// MaxStaleness is for how long verdicts are given without contact to the API server, like 1h;
	// after that every answer is 503. Default 0: for as long as it takes.
	MaxStaleness metav1.Duration `json:"maxStaleness"`
	// Activity is where it is kept what keys are used for.
	Activity struct {
		// Database is the path of a SQLite file, which serves one replica, or postgres://… for any number;
		// "off" keeps nothing. Default "/var/lib/apikey-operator/activity.db".
		Database string `json:"database"`
		// DatabaseFile holds the database in place of Database, because a URL has a password.
		DatabaseFile string `json:"databaseFile"`
		// Retention is for how long it is remembered, at least 48h. Default 2160h, 90 days.
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
		// Scopes are asked for at sign-in, besides openid, profile, email and offline_access. An issuer that puts the
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

	proxies []netip.Prefix
}

// Files are the two PEM files of a certificate.
type Files struct {
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
}

func defaultController() ControllerConfig {
	cfg := ControllerConfig{TokenPrefix: apikey.DefaultPrefix, Workers: 10, Probes: ":8081", Metrics: ":8080", RequirePolicies: true}
	cfg.LeaderElection.Enabled = true
	cfg.Admission.Listen = ":9443"
	return cfg
}

func defaultServer() ServerConfig {
	cfg := ServerConfig{TokenPrefix: apikey.DefaultPrefix, Listen: ":8443", Metrics: ":8080", ExtAuthz: ":9001"}
	cfg.TokenReview.UsernamePrefix = "kaana:" // apart from the cluster's other users
	cfg.Pages.Scopes = []string{authn.ReadProjects.Scope, authn.ReadKeys.Scope, authn.WriteKeys.Scope, authn.ReadActivity.Scope}
	cfg.Activity.Database = "/var/lib/apikey-operator/activity.db"
	cfg.Activity.Retention.Duration = 90 * 24 * time.Hour
	return cfg
}

// load reads a configuration file over the defaults. An unknown field is an error.
func load(file string, into any) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the file that the person who starts the process names
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := decode(text, into); err != nil {
		reason := strings.TrimPrefix(err.Error(), "json: ")
		return fmt.Errorf("configuration %s: %s%s", file, lineOfReason(text, reason), reason)
	}
	return nil
}

// decode reads YAML, in which names have the letter case that they are documented in.
func decode(text []byte, into any) error {
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err //nolint:wrapcheck // the caller says which file
	}
	wrong, err := json.UnmarshalStrict(raw, into)
	return cmp.Or(err, errors.Join(wrong[:min(1, len(wrong))]...))
}

// validate returns the first thing wrong with the configuration.
func (c ControllerConfig) validate() error {
	if err := validateNamespaces(c.WatchNamespaces); err != nil {
		return err
	}
	switch {
	case c.Workers < 1 || c.Workers > 100:
		return fmt.Errorf("workers: %d is not between 1 and 100", c.Workers)
	case (c.Admission.TLS.CertFile == "") != (c.Admission.TLS.KeyFile == ""):
		return errors.New("admission.tls: give both certFile and keyFile, or neither to have the controller make a certificate")
	}
	for name, address := range map[string]string{"metrics": c.Metrics, "admission.listen": c.Admission.Listen} {
		if _, _, err := net.SplitHostPort(address); err != nil && address != "0" {
			return fmt.Errorf("%s: want host:port, or 0 for none: %w", name, err)
		}
	}
	if _, _, err := net.SplitHostPort(c.Probes); err != nil {
		return fmt.Errorf("probes: want host:port: %w", err)
	}
	return nil
}

// validate returns the first thing wrong with the configuration, and reads its networks.
func (c *ServerConfig) validate() error {
	if c.TLS.CertFile == "" || c.TLS.KeyFile == "" {
		return errors.New("tls: certFile and keyFile are required; the server speaks HTTPS only")
	}
	for name, address := range map[string]string{"listen": c.Listen, "metrics": c.Metrics, "extAuthz": c.ExtAuthz} {
		if _, _, err := net.SplitHostPort(address); err != nil && (address != "0" || name == "listen") {
			return fmt.Errorf("%s: want host:port: %w", name, err)
		}
	}
	if c.Activity.Retention.Duration < 48*time.Hour {
		return errors.New("activity.retention: want 48h or more")
	}
	if c.MaxStaleness.Duration < 0 {
		return errors.New("maxStaleness: want a duration like 1h, or 0 for ever")
	}
	const theirs = "system:" // a name may add what the prefix lacks of it
	if p := c.TokenReview.UsernamePrefix; p != "" && p[:min(len(p), len(theirs))] == theirs[:min(len(p), len(theirs))] {
		return errors.New("tokenReview.usernamePrefix: must not lead to names of system:, which Kubernetes keeps for itself")
	}
	return cmp.Or(validateNamespaces(c.WatchNamespaces), c.readProxies())
}

// validateNamespaces returns the first name that no Namespace can have, or that is there twice.
func validateNamespaces(names []string) error {
	for i, name := range names {
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			return fmt.Errorf("watchNamespaces[%d]: %q is not the name of a Namespace", i, name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("watchNamespaces[%d]: %s is there twice", i, name)
		}
	}
	return nil
}

func (c *ServerConfig) readProxies() error {
	for i, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("trustedProxies[%d]: want a network like 10.0.0.0/8: %w", i, err)
		}
		c.proxies = append(c.proxies, network.Masked())
	}
	return nil
}

// connect returns a client configuration for an API server that answers and knows ApiKeys.
func connect(ctx context.Context, kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes API server: %w", err)
	}
	cfg.UserAgent = "apikey-operator"
	cfg.QPS = -1 // the default of 20 a second throttles to 20 keys a second; the API server has its own fairness

	probe := rest.CopyConfig(cfg)
	probe.Timeout = 10 * time.Second
	client, err := discovery.NewDiscoveryClientForConfig(probe)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", cfg.Host, err)
	}
	if _, err := client.ServerVersion(); err != nil {
		return nil, fmt.Errorf("reach the Kubernetes API server at %s: %w", cfg.Host, err)
	}
	if _, err := client.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String()); err != nil {
		return nil, fmt.Errorf("the API server at %s does not serve ApiKeys; install them with kubectl apply -k config/crd: %w", cfg.Host, err)
	}
	return cfg, ctx.Err()
}
