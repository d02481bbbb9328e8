// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/kaana/apikey-operator/internal/apikey"
)

const secretText = "legacy-secret-token-0123456789"

func tokenFormat(t *testing.T) apikey.Format {
	t.Helper()
	f, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRowsAreReadInEveryFormat(t *testing.T) {
	sum := apikey.DigestOf(secretText).String()
	for name, c := range map[string]struct {
		format inputFormat
		in     string
		want   row
		again  int
	}{
		"digests, with a comment, an empty line and a repeat": {
			inputFormat{digests: true, role: "viewer", namePrefix: "old-"}, "# mine\n" + sum + "\n\n" + sum + "\n",
			row{line: 2, name: "old-" + sum[:20], role: "viewer"}, 1},
		"tokens are hashed and hinted": {
			inputFormat{tokens: true, role: "member", namePrefix: "imported-"}, secretText + "\r\n",
			row{line: 1, name: "imported-" + sum[:20], role: "member", hint: "…6789"}, 0},
		"CSV with its own names and roles": {
			inputFormat{role: "member"},
			"name,sha256,role,hint,owner,ownerID\nbilling," + sum + ",admin,abc,a@example.com,7\n",
			row{line: 2, name: "billing", role: "admin", hint: "abc"}, 0},
	} {
		rows, repeats, problems := c.format.read(strings.NewReader(c.in), tokenFormat(t))
		if len(problems) > 0 || repeats != c.again || len(rows) != 1 {
			t.Errorf("%s: %d rows, %d repeats, %v", name, len(rows), repeats, problems)
			continue
		}
		got := rows[0]
		if got.digest != apikey.DigestOf(secretText) {
			t.Errorf("%s: got another digest", name)
		}
		if got.line != c.want.line || got.name != c.want.name || got.role != c.want.role || got.hint != c.want.hint {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	hex := apikey.DigestOf("x").String() // random digits in hexadecimal are a token, if a column says so
	rows, _, problems := inputFormat{role: "member"}.read(strings.NewReader("token\n"+hex+"\n"), tokenFormat(t))
	if len(problems) > 0 || len(rows) != 1 || rows[0].digest != apikey.DigestOf(hex) {
		t.Errorf("a token of 64 hexadecimal digits: %v, %v", rows, problems)
	}
	rows, repeats, problems := inputFormat{}.read(strings.NewReader(""), tokenFormat(t))
	if len(rows)+repeats+len(problems) > 0 {
		t.Errorf("an empty input has %d rows, %d repeats, %v", len(rows), repeats, problems)
	}
}

func TestWrongRowsAreNamedByLineAndNeverShown(t *testing.T) {
	minted, err := tokenFormat(t).Mint(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken := minted.Reveal()[:40]
	digests, tokens := inputFormat{digests: true, role: "member"}, inputFormat{tokens: true, role: "member"}
	table := inputFormat{role: "member"}
	for name, c := range map[string]struct {
		format inputFormat
		in     string
		want   string
	}{
		"a token instead of a digest": {digests, secretText, "line 1: want 64 lower-case hexadecimal digits"},
		"a password":                  {tokens, secretText + "\nhunter2", "line 2: the token is shorter than 20 characters"},
		"a whole header":              {tokens, "Bearer " + secretText, "line 1: the token has a space"},
		"a token in quotes":           {tokens, `"` + secretText + `"`, "line 1: the token has a quote"},
		"a token with a comma":        {tokens, secretText + ",", "line 1: the token has a quote, or ends with a comma"},
		"a token with a semicolon":    {table, "token\n" + secretText + ";\n", "line 2: the token has a quote, or ends with a comma"},
		"a digest instead of a token": {tokens, apikey.DigestOf(secretText).String(),
			"line 1: this is like a SHA-256 digest: give --digests"},
		"a digest with its algorithm": {table, "token\nsha256:" + apikey.DigestOf(secretText).String() + "\n",
			"line 2: this is like a hash of a token"},
		"bcrypt": {tokens, secretText + "\n$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
			"line 2: this is like a hash of a token"},
		"an incomplete token of this installation": {tokens, "x-" + secretText + "\n" + broken,
			"line 2: the token starts like a token of this installation but is incomplete"},
		"a line longer than any token": {tokens, secretText + "\n" + strings.Repeat("x", 3*apikey.MaxTokenBytes),
			"line 2: longer than 8192 bytes"},
		"no format": {inputFormat{}, secretText, "line 1: no column is named token or sha256"},
		"an unknown role": {table, "token,role\n" + secretText + ",boss\n",
			"line 2: want the role viewer, member or admin"},
		"an unknown column": {table, "token,colour\n" + secretText + ",red\n", `line 1: unknown column "colour"`},
		"too few fields":    {table, "token,name\n" + secretText + "\n", "line 2: wrong number of fields"},
		"two rows with one name": {table, "token,name\n" + secretText + ",a\n" + secretText + "2,a\n",
			"line 3: line 2 has the same name"},
		"a wrong time": {table, "token,expiresAt\n" + secretText + ",tomorrow\n", "line 2: expiresAt: want a time like"},
		"an owner without an id": {table, "token,owner\n" + secretText + ",a@example.com\n",
			"line 2: owner and ownerID belong together"},
		"a wrong name": {table, "token,name\n" + secretText + ",Billing Sync\n", "line 2: name: want lower-case letters"},
	} {
		_, _, problems := c.format.read(strings.NewReader(c.in), tokenFormat(t))
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), c.want) {
			t.Errorf("%s: want %q, got %v", name, c.want, problems)
		}
		for _, p := range problems {
			if strings.Contains(p.Error(), secretText) || strings.Contains(p.Error(), broken) {
				t.Errorf("%s: the token is shown: %v", name, p)
			}
		}
	}
}
