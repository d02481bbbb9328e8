// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// lineOf returns "line N: " for the field of a configuration file that a path leads to, or for the
// deepest one on the way that is there; "" when the file cannot be read.
func lineOf(file string, path ...any) string {
	text, err := os.ReadFile(file) //nolint:gosec // the file that the person who starts the process names
	if err != nil {
		return ""
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil || len(document.Content) == 0 {
		return ""
	}
	at, line := document.Content[0], 1
	for _, step := range path {
		next, found := child(at, step)
		if next == nil {
			break
		}
		at, line = next, found
	}
	return fmt.Sprintf("line %d: ", line)
}

// child returns the value under a name or at an index of a node, and the line that it is on.
func child(at *yaml.Node, step any) (*yaml.Node, int) {
	switch step := step.(type) {
	case int:
		if at.Kind == yaml.SequenceNode && step < len(at.Content) {
			return at.Content[step], at.Content[step].Line
		}
	case string:
		for i := 0; at.Kind == yaml.MappingNode && i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == step {
				return at.Content[i+1], at.Content[i].Line
			}
		}
	}
	return nil, 0
}

var quoted = regexp.MustCompile(`(?:field |")([A-Za-z0-9_.\[\]]+)`)

// lineOfReason returns "line N: " for the field that a decoder's error names, "" when it names none.
func lineOfReason(text []byte, reason string) string {
	name := quoted.FindStringSubmatch(reason)
	var document yaml.Node
	if name == nil || strings.HasPrefix(reason, "yaml: line") || yaml.Unmarshal(text, &document) != nil {
		return ""
	}
	path := strings.Split(name[1], ".")
	last, _, _ := strings.Cut(path[len(path)-1], "[")
	if line := find(&document, last); line > 0 {
		return fmt.Sprintf("line %d: ", line)
	}
	return ""
}

// find returns the line of the first key of that name, 0 when there is none.
func find(at *yaml.Node, name string) int {
	for i, c := range at.Content {
		if at.Kind == yaml.MappingNode && i%2 == 0 && c.Value == name {
			return c.Line
		}
		if line := find(c, name); line > 0 {
			return line
		}
	}
	return 0
}
