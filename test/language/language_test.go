// SPDX-License-Identifier: Apache-2.0

// Package language_test keeps the words of words.txt out of the Go code: out of comments, strings and identifiers.
package language_test

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

//go:embed words.txt
var list string

const root = "../.."

// folders are where the Go code is, from the root of the repository.
var folders = []string{"api", "internal", "cmd", "test", "hack"}

// word is one line of words.txt.
type word struct {
	text, better string
	inText       *regexp.Regexp // nil: not looked for in comments and strings
	pkg, name    string         // the identifier, in any package if pkg is ""; name "": not looked for
}

var (
	line      = regexp.MustCompile("^(`?)([^`\t]+)(`?)(?:\t→ (.+))?$")
	notAWord  = regexp.MustCompile(`[a-z][A-Z]|[_.]`)
	generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
)

// parse reads a list of words.
func parse(list string) (words []word, err error) {
	for i, l := range strings.Split(list, "\n") {
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		m := line.FindStringSubmatch(l)
		if m == nil || m[1] != m[3] {
			return nil, fmt.Errorf("words.txt:%d: want a phrase or a `name`, and optionally a tab and → with a better one", i+1)
		}
		w := word{text: m[2], better: m[4]}
		switch isName := m[1] != ""; {
		case !isName:
			w.inText = regexp.MustCompile(`(?i)\b` + strings.ReplaceAll(regexp.QuoteMeta(w.text), " ", `\s+`) + `\b`)
		case notAWord.MatchString(w.text):
			w.inText = regexp.MustCompile(`\b` + regexp.QuoteMeta(w.text) + `\b`)
			fallthrough
		default:
			w.name = w.text
			if pkg, name, qualified := strings.Cut(w.text, "."); qualified {
				w.pkg, w.name = pkg, name
			}
		}
		words = append(words, w)
	}
	return words, nil
}

// hit is a word in a file.
type hit struct {
	line int
	word word
}

func (h hit) String() string {
	if h.word.better == "" {
		return fmt.Sprintf("%d: do not write %q", h.line, h.word.text)
	}
	return fmt.Sprintf("%d: do not write %q, write: %s", h.line, h.word.text, h.word.better)
}

// scan returns the words of a file in order, each once a line. It skips generated files.
func scan(name string, src []byte, words []word) (hits []hit, err error) {
	if generated.Match(src) {
		return nil, nil
	}
	text := prose(src)
	names, err := identifiers(name, src)
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		for _, n := range names {
			if w.name == n.name && (w.pkg == "" || w.pkg == n.pkg) {
				hits = append(hits, hit{n.line, w})
			}
		}
		if w.inText == nil {
			continue
		}
		for _, at := range w.inText.FindAllIndex(text, -1) {
			hits = append(hits, hit{1 + strings.Count(string(text[:at[0]]), "\n"), w})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return a.line - b.line })
	return slices.CompactFunc(hits, func(a, b hit) bool { return a.line == b.line && a.word.text == b.word.text }), nil
}

// prose returns the source with everything blank but the text of comments and strings. Lines stay where they are, so
// that a phrase is found that goes on in the next line of a comment.
func prose(src []byte) []byte {
	out := make([]byte, len(src))
	for i, b := range src {
		if out[i] = ' '; b == '\n' {
			out[i] = '\n'
		}
	}
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(file, src, nil, scanner.ScanComments)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return out
		}
		from := file.Offset(pos)
		switch {
		case tok == token.STRING && strings.HasPrefix(lit, `"`):
			copy(out[from+1:], strings.NewReplacer(`\n`, "  ", `\t`, "  ", `\"`, "  ").Replace(strings.Trim(lit, `"`)))
			out[from], out[from+len(lit)-1] = '|', '|' // a phrase does not go on outside a string
		case tok == token.STRING:
			copy(out[from:], "|"+strings.Trim(lit, "`")+"|")
		case tok == token.COMMENT:
			copy(out[from:], "  "+lit[2:])
		case tok != token.SEMICOLON || lit == ";": // code ends a phrase, too; the end of a line does not
			out[from] = '|'
		}
	}
}

// identifier is one in a file: declared or used in its package, or taken from another one.
type identifier struct {
	line      int
	pkg, name string
}

func identifiers(name string, src []byte) (out []identifier, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	imported := map[string]string{} // packages by the names that this file gives them
	for _, i := range file.Imports {
		base := path.Base(strings.Trim(i.Path.Value, `"`))
		imported[base] = base
		if i.Name != nil {
			imported[i.Name.Name] = base
		}
	}
	pkg := strings.TrimSuffix(file.Name.Name, "_test")
	elsewhere := map[*ast.Ident]string{} // the package that it is taken from
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && imported[x.Name] != "" {
				elsewhere[n.Sel] = imported[x.Name]
			}
		case *ast.Ident:
			from, ok := elsewhere[n]
			if !ok {
				from = pkg
			}
			out = append(out, identifier{fset.Position(n.Pos()).Line, from, n.Name})
		}
		return true
	})
	return out, nil
}

func TestTheCodeUsesPlainWords(t *testing.T) {
	words, err := parse(list)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && filepath.Base(file) == "language":
				return fs.SkipDir
			case filepath.Ext(file) != ".go":
				return nil
			}
			files++
			src, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			hits, err := scan(file, src, words)
			for _, h := range hits {
				t.Errorf("%s:%s", strings.TrimPrefix(file, root+"/"), h)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("found only %d files", files)
	}
}

func TestAWordIsFoundWhereItStands(t *testing.T) {
	words, err := parse("in place of\t→ instead of\nbury\n`bury`\t→ terminate\n`keys.Once`\t→ Idempotency\n`toldCredential`\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, src string
		want      []string
	}{
		{"a comment", "package a\n\n// X stands In place of Y.\n", []string{`3: do not write "in place of", write: instead of`}},
		{"a phrase over two lines", "package a\n\n// X stands in place\n// of Y.\n", []string{`3: do not write "in place of", write: instead of`}},
		{"a block comment", "package a\n\n/*\nin place of\n*/\n", []string{`4: do not write "in place of", write: instead of`}},
		{"strings", "package a\n\nvar x = `\nin place of` + \"\\nbury it\"\n", []string{`4: do not write "in place of", write: instead of`, `4: do not write "bury"`}},
		{"two strings are no phrase", "package a\n\nvar x = []string{\"in place\", \"of\"}\n\nvar y = \"in place\"\n\n// Of.\n", nil},
		{"a part of a word", "package a\n\n// Buryat, in place offers\nvar buryIt, x_bury int\n", nil},
		{"a name", "package a\n\nfunc bury() {\n\tx.bury()\n}\n", []string{`3: do not write "bury", write: terminate`, `4: do not write "bury", write: terminate`}},
		{"a name in its package", "package keys_test\n\nvar x Once\n", []string{`3: do not write "keys.Once", write: Idempotency`}},
		{"a name of another package", "package a\n\nimport (\n\t\"sync\"\n\t\"x/keys\"\n)\n\nvar (\n\tx sync.Once\n\ty keys.Once\n\tz = \"keys.Once\"\n\tOnce int\n)\n",
			[]string{`10: do not write "keys.Once", write: Idempotency`, `11: do not write "keys.Once", write: Idempotency`}},
		{"a name of a package with another name here", "package a\n\nimport other \"x/keys\"\n\nvar y other.Once\n", []string{`5: do not write "keys.Once", write: Idempotency`}},
		{"a name that can be no word, in a tag", "package a\n\ntype x struct {\n\tY int `json:\"toldCredential\"`\n}\n", []string{`4: do not write "toldCredential"`}},
		{"a generated file", "// Code generated by x. DO NOT EDIT.\n\npackage a\n\nvar bury int\n", nil},
	} {
		hits, err := scan("a.go", []byte(c.src), words)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, h := range hits {
			got = append(got, h.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q", c.name, got)
		}
	}
}

func TestAListThatCannotBeReadIsRefused(t *testing.T) {
	for _, bad := range []string{"`open", "a phrase\tbetter", "a phrase\t→ "} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
