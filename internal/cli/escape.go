// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// oneLine returns a text of others as one line that is safe at a terminal: characters that move the cursor, change
// the direction of text, start a sequence of the terminal or end a line are shown as their code. The API server
// refuses them in new objects; older ones may have them.
func oneLine(text string) string {
	var out strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case unsafeRune(r):
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// unsafeRune reports whether a character is a control character, or one that changes the direction of text (Unicode
// Standard Annex #9), or a separator of lines or paragraphs.
func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) || r == 0xfffe ||
		r == 0xffff
}
