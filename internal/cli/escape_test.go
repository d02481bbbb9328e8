// SPDX-License-Identifier: Apache-2.0

package cli

import "testing"

func TestForeignTextCannotControlATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"Nightly export – Zürich, 日本 ☂": "Nightly export – Zürich, 日本 ☂",
		"x\nState:  Active":             `x\u000aState:  Active`,
		"\x1b]52;c;aGk=\a":              `\u001b]52;c;aGk=\u0007`,
		"a\u009b31mb":                   `a\u009b31mb`,
		"a\rb\tc\x7f":                   `a\u000db\u0009c\u007f`,
		"a\u202eb\u2066c\u2028d\u061ce": `a\u202eb\u2066c\u2028d\u061ce`,
		"a\ufffeb":                      `a\ufffeb`,
		"a\xffb\ufffd":                  "a\\xffb\ufffd",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
