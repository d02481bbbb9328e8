// SPDX-License-Identifier: Apache-2.0

// Command fields writes docs/fields.md, what the CRD says of each field of an ApiKey, and docs/chart.md, what
// values.yaml says of each value of the chart.
package main

import (
	"fmt"
	"os"
	"strings"
)

const (
	crd    = "config/crd/bases/auth.kaana.com_apikeys.yaml"
	values = "charts/apikey-operator/values.yaml"
)

func main() {
	for _, page := range []struct {
		from, to string
		write    func(text []byte) (string, error)
	}{{crd, "docs/fields.md", fields}, {values, "docs/chart.md", chart}} {
		if err := generate(page.from, page.to, page.write); err != nil {
			fmt.Fprintln(os.Stderr, "fields:", err)
			os.Exit(1)
		}
	}
}

func generate(from, to string, write func([]byte) (string, error)) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	page, err := write(text)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return os.WriteFile(to, []byte(page), 0o644) //nolint:gosec // pages are for everybody
}

// cell makes a text fit into a table.
func cell(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	// A bar ends a cell, also in backticks; what looks like HTML would be HTML.
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text)
}

// code is a text in backticks, "" for none.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}
