// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryBreakageIsInItsFile keeps the list in step with the code without running it: each entry breaks one place of a
// file that exists, and names a test that exists.
func TestEveryBreakageIsInItsFile(t *testing.T) {
	root := filepath.Join("..", "..")
	tests := map[string]string{}
	for i, b := range breakages {
		text, err := os.ReadFile(filepath.Join(root, b.file))
		if err != nil {
			t.Errorf("entry %d: %v", i+1, err)
			continue
		}
		if n := strings.Count(string(text), b.from); n != 1 {
			t.Errorf("entry %d: %s has %q %d times, want once", i+1, b.file, b.from, n)
		}
		if _, read := tests[b.pkg]; !read {
			files, err := filepath.Glob(filepath.Join(root, b.pkg, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				tests[b.pkg] += string(text)
			}
		}
		if !strings.Contains(tests[b.pkg], "func "+b.test+"(") || !strings.Contains(tests[b.pkg], b.focus) {
			t.Errorf("entry %d: package %s has no test %s with %q", i+1, b.pkg, b.test, b.focus)
		}
	}
}
