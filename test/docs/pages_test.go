// SPDX-License-Identifier: Apache-2.0

// Package docs holds the documentation to the repository: links lead somewhere, commands exist, and what readers
// are to copy is accepted by what they are to give it to.
package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/kaana/apikey-operator/test/cluster"
)

// page is one Markdown file.
type page struct {
	path    string // in the repository
	lines   []line // without what is fenced
	blocks  []block
	anchors []string
}

// line is a line of prose.
type line struct {
	number int
	text   string
}

// block is fenced text.
type block struct {
	number         int // of its first line
	language, text string
	marker         string // the comment on the line before it, like values
}

// where names a place for people, and for editors.
func (p *page) where(number int) string { return fmt.Sprintf("%s:%d", p.path, number) }

var (
	fence   = regexp.MustCompile("^ *(```+)([a-z]*)")
	heading = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	anchor  = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	comment = regexp.MustCompile(`^ *<!-- ([a-z-]+) -->$`)
	link    = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]*)\)`)
	span    = regexp.MustCompile("`([^`]+)`")
)

// parse reads a page.
func parse(path, text string) *page {
	p := &page{path: path}
	var open *block
	end, marker := "", ""
	for i, s := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(s)
		switch {
		case open != nil && strings.TrimSpace(s) == end:
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += s + "\n"
		case m != nil:
			end, open = m[1], &block{number: i + 2, language: m[2], marker: marker}
		default:
			p.lines = append(p.lines, line{i + 1, s})
		}
		marker = ""
		if c := comment.FindStringSubmatch(s); c != nil && open == nil {
			marker = c[1]
		}
	}
	if open != nil {
		p.blocks = append(p.blocks, *open)
	}
	for _, l := range p.lines {
		if m := heading.FindStringSubmatch(l.text); m != nil {
			p.anchors = append(p.anchors, slug(m[1], p.anchors))
		}
		for _, m := range anchor.FindAllStringSubmatch(l.text, -1) {
			p.anchors = append(p.anchors, m[1])
		}
	}
	return p
}

// slug is the anchor that GitHub gives a heading: letters, digits, dashes and underscores of its text; a second one of
// the same name gets a number.
func slug(title string, before []string) string {
	title = link.ReplaceAllString(title, "$1")
	name := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
	for n, out := 0, name; ; out = fmt.Sprintf("%s-%d", name, n) {
		if !slices.Contains(before, out) {
			return out
		}
		n++
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// pages reads all Markdown that people read.
func pages(t *testing.T) []*page {
	t.Helper()
	dir := root(t)
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "charts/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 10 {
		t.Fatalf("only %d pages are found", len(files))
	}
	out := make([]*page, len(files))
	for i, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		path, err := filepath.Rel(dir, f)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = parse(path, string(text))
	}
	return out
}

// spans are all words in backticks, with the line that they are on.
func (p *page) spans() (out []line) {
	for _, l := range p.lines {
		for _, m := range span.FindAllStringSubmatch(l.text, -1) {
			out = append(out, line{l.number, m[1]})
		}
	}
	return out
}

func exists(path string) bool {
	found, err := filepath.Glob(path)
	return err == nil && len(found) > 0
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	var before []string
	for _, c := range [][2]string{
		{"API server down", "api-server-down"}, {"What is *not* protected?", "what-is-not-protected"}, {"`spec.secret`", "specsecret"},
		{"Settings > API Keys", "settings--api-keys"}, {"API server down", "api-server-down-1"}, {"See [the page](a.md)", "see-the-page"}, {"a_b c/d", "a_b-cd"},
	} {
		got := slug(c[0], before)
		if got != c[1] {
			t.Errorf("%q: want %s, got %s", c[0], c[1], got)
		}
		before = append(before, got)
	}
}
