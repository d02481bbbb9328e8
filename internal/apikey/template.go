// SPDX-License-Identifier: Apache-2.0

package apikey

import (
	"errors"
	"fmt"
	"strings"
	"text/template/parse"
	"time"
)

// Values are what a template may name.
type Values struct {
	Token        string
	Name         string // of the ApiKey
	Namespace    string
	ExpiresAt    string // RFC 3339 in UTC; empty when the key does not expire
	CredentialID string
}

// field returns the value of that name.
func (v Values) field(name string) (string, bool) {
	switch name {
	case "Token":
		return v.Token, true
	case "Name":
		return v.Name, true
	case "Namespace":
		return v.Namespace, true
	case "ExpiresAt":
		return v.ExpiresAt, true
	case "CredentialID":
		return v.CredentialID, true
	}
	return "", false
}

// Expiry returns the form in which a template shows an expiry; empty for the zero time.
func Expiry(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Template is a text with the fields of Values in it, in the syntax of text/template:
//
//	KAANA_API_KEY={{ .Token }}
//
// It is that library's parser without its executor: a template has no loops, calls or pipelines, so
// what an author writes costs no more than its length.
type Template struct{ parts []part }

type part struct{ text, field string }

var errAction = errors.New(
	"want only {{ .Token }}, {{ .Name }}, {{ .Namespace }}, {{ .ExpiresAt }} and {{ .CredentialID }}",
)

// ParseTemplate reads a template.
func ParseTemplate(text string) (Template, error) {
	trees, err := parse.Parse("template", text, "", "", map[string]any{})
	if err != nil || len(trees) != 1 {
		return Template{}, errAction // the library's own words tell of functions, which there are none of
	}
	var t Template
	for _, node := range trees["template"].Root.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			t.parts = append(t.parts, part{text: string(n.Text)})
		case *parse.ActionNode:
			field, ok := strings.CutPrefix(n.Pipe.String(), ".")
			if _, known := (Values{}).field(field); !ok || !known {
				return Template{}, fmt.Errorf("%s: %w", n, errAction)
			}
			t.parts = append(t.parts, part{field: field})
		default:
			return Template{}, fmt.Errorf("%s: %w", n, errAction)
		}
	}
	return t, nil
}

// Plain reports whether the template shows no token.
func (t Template) Plain() bool {
	for _, p := range t.parts {
		if p.field == "Token" {
			return false
		}
	}
	return true
}

// Render returns the text with the values in place.
func (t Template) Render(v Values) string {
	var out strings.Builder
	for _, p := range t.parts {
		value, _ := v.field(p.field)
		out.WriteString(p.text + value)
	}
	return out.String()
}
