// SPDX-License-Identifier: Apache-2.0

// Package config reads the configuration files of the controller and the server: defaults, strict decoding, validation.
// An error names the file, the line and the field.
//
// It opens no listener and makes no client; command apikey-operator does.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Off is the address or database that turns a listener or a feature off.
const Off = "0"

// Files are the two PEM files of a certificate.
type Files struct {
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
}

// Log configures what both processes write to standard error, as JSON lines.
type Log struct {
	// LogLevel is debug, info, warn or error. With debug there is one line for each step of a reconcile and each verdict,
	// with its reason and without the token. Default info.
	LogLevel slog.Level `json:"logLevel"`
	// Profiling serves Go's profiles under /debug/pprof/ on the metrics address, to everyone who can reach it.
	// Default false.
	Profiling bool `json:"profiling"`
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
	strict, err := json.UnmarshalStrict(raw, into)
	return cmp.Or(err, errors.Join(strict[:min(1, len(strict))]...))
}

// ReadFile returns the content of a file that a field of the configuration names, and nil when the field is empty.
func ReadFile(field, file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the file that the configuration names
	if err != nil {
		return nil, fmt.Errorf("configuration: %s: %w", field, err)
	}
	return text, nil
}

// validateNamespaces returns an error for the first name that no Namespace can have, or that is repeated.
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

// validateAddress returns an error unless the address has a host and a port, or is Off where that is possible.
func validateAddress(field, address string, required bool) error {
	if address == Off && !required {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		if required {
			return fmt.Errorf("%s: want host:port: %w", field, err)
		}
		return fmt.Errorf("%s: want host:port, or %s for none: %w", field, Off, err)
	}
	return nil
}
