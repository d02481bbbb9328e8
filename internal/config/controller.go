// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kaana/apikey-operator/internal/apikey"
)

// maxWorkers bounds how many ApiKeys are reconciled at once.
const maxWorkers = 100

// Controller is the configuration file of `apikey-operator controller`.
type Controller struct {
	Log `json:",inline"`

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
	// Admission is the webhook that records authors of ApiKeys and warns of mistakes.
	Admission struct {
		// Listen is its address, HTTPS; "0" turns it off. Default ":9443".
		Listen string `json:"listen"`
		// Host is the DNS name that the API server calls it by. Default
		// "apikey-operator-admission.<namespace>.svc".
		Host string `json:"host"`
		// Namespace of the Secret with its certificate, and of those of server. Default: the Pod's own; required
		// outside a cluster, unless TLS is given.
		Namespace string `json:"namespace"`
		// TLS names the PEM files of a certificate that something else renews, like cert-manager.
		// Without it the controller makes one and configures the API server to trust it.
		TLS Files `json:"tls"`
	} `json:"admission"`
	// Server is what the controller makes for the server, which mounts it because it cannot read a Secret through the
	// API.
	Server struct {
		// CertificateSecret is the Secret, of type kubernetes.io/tls, that holds a certificate of a CA of its own
		// (ca.crt), and is renewed. Default none: something else makes one.
		CertificateSecret string `json:"certificateSecret"`
		// Hosts are DNS names of the certificate, besides apikey-operator-server.<namespace>.svc.
		Hosts []string `json:"hosts"`
		// SessionKeySecret is the Secret that holds a key for pages.sessionKeyFile, under session-key.
		// Default none.
		SessionKeySecret string `json:"sessionKeySecret"`
	} `json:"server"`
	// LeaderElection lets one of several replicas work while the others wait.
	LeaderElection struct {
		// Enabled turns it on. Default true.
		Enabled bool `json:"enabled"`
		// Namespace of the Lease. Default: the Pod's own; required outside a cluster.
		Namespace string `json:"namespace"`
	} `json:"leaderElection"`

	format apikey.Format
}

// DefaultController returns the configuration of a controller without a file.
func DefaultController() Controller {
	cfg := Controller{
		TokenPrefix:     apikey.DefaultPrefix,
		Workers:         10,
		Probes:          ":8081",
		Metrics:         ":8080",
		RequirePolicies: true,
	}
	cfg.LeaderElection.Enabled = true
	cfg.Admission.Listen = ":9443"
	return cfg
}

// LoadController reads a configuration file over the defaults and validates the result. Without a file the defaults
// hold.
func LoadController(file string) (Controller, error) {
	cfg := DefaultController()
	if err := load(file, &cfg); err != nil {
		return Controller{}, err
	}
	if err := cfg.validate(); err != nil {
		return Controller{}, fmt.Errorf("configuration: %w", err)
	}
	return cfg, nil
}

// Format returns the format of tokens.
func (c *Controller) Format() apikey.Format { return c.format }

// validate returns the first thing wrong with the configuration, and reads the token format.
func (c *Controller) validate() (err error) {
	if c.format, err = apikey.NewFormat(c.TokenPrefix); err != nil {
		return err //nolint:wrapcheck // names the prefix
	}
	if err := validateNamespaces(c.WatchNamespaces); err != nil {
		return err
	}
	switch {
	case c.Workers < 1 || c.Workers > maxWorkers:
		return fmt.Errorf("workers: %d is not between 1 and %d", c.Workers, maxWorkers)
	case (c.Admission.TLS.CertFile == "") != (c.Admission.TLS.KeyFile == ""):
		return errors.New(
			"admission.tls: give both certFile and keyFile, or neither to have the controller make a certificate",
		)
	}
	for i, host := range c.Server.Hosts {
		if problems := validation.IsDNS1123Subdomain(host); len(problems) > 0 {
			return fmt.Errorf("server.hosts[%d]: %q is not a DNS name", i, host)
		}
	}
	for field, address := range map[string]string{"metrics": c.Metrics, "admission.listen": c.Admission.Listen} {
		if err := validateAddress(field, address, false); err != nil {
			return err
		}
	}
	return validateAddress("probes", c.Probes, true)
}
