// SPDX-License-Identifier: Apache-2.0

package apikey_test

import (
	"strings"
	"testing"
	"text/template"
	"time"

	. "github.com/kaana/apikey-operator/internal/apikey"
)

var shown = Values{Token: "kaana_secret", Name: "billing", Namespace: "acme", ExpiresAt: "2027-01-01T00:00:00Z", CredentialID: "0123456789"}

func TestATemplateShowsTheFieldsOfAKey(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"plain":                        "plain",
		"KAANA_API_KEY={{ .Token }}\n": "KAANA_API_KEY=kaana_secret\n",
		"{{.Name}}/{{.Namespace}}":     "billing/acme",
		"a {{- .ExpiresAt -}} b":       "a2027-01-01T00:00:00Zb",
		`{"id":"{{ .CredentialID }}"}`: `{"id":"0123456789"}`,
		"{{`{{`}} no":                  "error",
		"{{ .Other }}":                 "error",
		"{{ . }}":                      "error",
		"{{ .Token.Length }}":          "error",
		"{{ .Token | html }}":          "error",
		"{{ print .Token }}":           "error",
		"{{ .Token .Name }}":           "error",
		"{{ $x := .Token }}":           "error",
		"{{ range .Token }}x{{ end }}": "error",
		"{{ if .Token }}x{{ end }}":    "error",
		"{{ define \"x\" }}x{{ end }}": "error",
		"{{ template \"x\" }}":         "error",
		"{{ .Token":                    "error",
	} {
		got := "error"
		if parsed, err := ParseTemplate(text); err == nil {
			got = parsed.Render(shown)
			if parsed.Plain() == strings.Contains(text, ".Token") {
				t.Errorf("%q: Plain says %v", text, parsed.Plain())
			}
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestAnExpiryIsShownInUTCAndNoneIsEmpty(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	if got := Expiry(time.Date(2027, 1, 1, 1, 0, 0, 0, berlin)); got != shown.ExpiresAt {
		t.Error(got)
	}
	if got := Expiry(time.Time{}); got != "" {
		t.Error(got)
	}
}

// FuzzTemplate wants of every template that is accepted what the library's own executor makes of it.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"a{{ .Token }}b", "{{- .Name -}} x", "{{.ExpiresAt}}{{", "}}{{/* x */}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ours, err := ParseTemplate(text)
		if err != nil {
			return
		}
		theirs, err := template.New("x").Parse(text)
		if err != nil {
			t.Fatalf("accepted what text/template refuses: %v", err)
		}
		var out strings.Builder
		if err := theirs.Execute(&out, shown); err != nil {
			t.Fatal(err)
		}
		if got := ours.Render(shown); got != out.String() {
			t.Errorf("%q: got %q, want %q", text, got, out.String())
		}
	})
}
