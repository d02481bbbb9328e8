// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/kaana/apikey-operator/internal/apikey"
)

const secretText = "legacy-secret-token-0123456789"

func format(t *testing.T) apikey.Format {
	t.Helper()
	f, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRowsAreReadInEveryShape(t *testing.T) {
	sum := apikey.DigestOf(secretText).String()
	for _, c := range []struct {
		name  string
		shape shape
		in    string
		want  []row // digest by token, name and role
		again int
	}{
		{"digests, with a comment, an empty line and a repeat", shape{digests: true, role: "viewer", lead: "old-"}, "# mine\n" + sum + "\n\n" + sum + "\n",
			[]row{{line: 2, name: "old-" + sum[:20], role: "viewer"}}, 1},
		{"tokens are hashed and hinted", shape{tokens: true, role: "member", lead: "imported-"}, secretText + "\r\n",
			[]row{{line: 1, name: "imported-" + sum[:20], role: "member", hint: "…6789"}}, 0},
		{"CSV with its own names and roles", shape{role: "member"}, "name,sha256,role,hint,owner,ownerID\nbilling," + sum + ",admin,abc,a@example.com,7\n",
			[]row{{line: 2, name: "billing", role: "admin", hint: "abc"}}, 0},
		{"nothing at all", shape{digests: true}, "", nil, 0},
	} {
		rows, repeats, problems := c.shape.read(strings.NewReader(c.in), format(t))
		if len(problems) > 0 || repeats != c.again || len(rows) != len(c.want) {
			t.Errorf("%s: %d rows, %d repeats, %v", c.name, len(rows), repeats, problems)
			continue
		}
		for i, r := range rows {
			w := c.want[i]
			if r.line != w.line || r.name != w.name || r.role != w.role || r.hint != w.hint || r.digest != apikey.DigestOf(secretText) {
				t.Errorf("%s: got %+v", c.name, r)
			}
		}
	}
}

func TestWrongRowsAreNamedByLineAndNeverShown(t *testing.T) {
	minted, err := format(t).Mint(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken := minted.Reveal()[:40]
	for _, c := range []struct {
		name  string
		shape shape
		in    string
		want  string
	}{
		{"a token where a digest is wanted", shape{digests: true, role: "member"}, secretText, "line 1: want 64 lower-case hexadecimal digits"},
		{"a password", shape{tokens: true, role: "member"}, secretText + "\nhunter2", "line 2: it is shorter than 20 characters"},
		{"a whole header", shape{tokens: true, role: "member"}, "Bearer " + secretText, "line 1: it has a space"},
		{"a role that is none", shape{role: "member"}, "token,role\n" + secretText + ",boss\n", "line 2: a role is viewer, member or admin"},
		{"half a token of ours", shape{tokens: true, role: "member"}, "x-" + secretText + "\n" + broken, "line 2: it starts like a token of this installation but is not whole"},
		{"no shape", shape{}, secretText, "say what the lines are: --digests, --tokens, or CSV"},
		{"two shapes", shape{digests: true, tokens: true}, secretText, "give --digests or --tokens, not both"},
		{"a column that nobody knows", shape{role: "member"}, "token,colour\n" + secretText + ",red\n", `line 1: no column is named "colour"`},
		{"a row that is too short", shape{role: "member"}, "token,name\n" + secretText + "\n", "line 2: wrong number of fields"},
		{"two rows of one name", shape{role: "member"}, "token,name\n" + secretText + ",a\n" + secretText + "2,a\n", "line 3: its name is that of line 2"},
		{"an instant that is none", shape{role: "member"}, "token,expiresAt\n" + secretText + ",tomorrow\n", "line 2: expiresAt: want an instant like"},
		{"an owner without an id", shape{role: "member"}, "token,owner\n" + secretText + ",a@example.com\n", "line 2: give owner and ownerID"},
		{"a name that is none", shape{role: "member"}, "token,name\n" + secretText + ",Billing Sync\n", "line 2: its name is not one of"},
		{"a line longer than any token", shape{tokens: true, role: "member"}, secretText + "\n" + strings.Repeat("x", 3*apikey.MaxTokenBytes), "line 2: longer than a token can be"},
	} {
		_, _, problems := c.shape.read(strings.NewReader(c.in), format(t))
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), c.want) {
			t.Errorf("%s: want %q, got %v", c.name, c.want, problems)
		}
		for _, p := range problems {
			for _, secret := range []string{secretText, broken} {
				if strings.Contains(p.Error(), secret) {
					t.Errorf("%s: the token is shown: %v", c.name, p)
				}
			}
		}
	}
}
