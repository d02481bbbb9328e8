// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// chart writes the page of the chart's values.
func chart(text []byte) (string, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return "", fmt.Errorf("read values: %w", err)
	}
	if len(file.Content) != 1 || file.Content[0].Kind != yaml.MappingNode {
		return "", errors.New("want one mapping")
	}
	var b strings.Builder
	b.WriteString("<!-- Generated from values.yaml by make generate. DO NOT EDIT. -->\n# Values of the chart\n\n" +
		"Every value of `charts/apikey-operator/values.yaml`, with its default. The\n" +
		"[chart's README](../charts/apikey-operator/README.md) says which people change first.\n\n" +
		"| value | default | |\n| --- | --- | --- |\n")
	entries(&b, "", file.Content[0])
	return b.String(), nil
}

// entries writes a row for each value below. One that is empty is a value itself.
func entries(b *strings.Builder, path string, m *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		name, value := m.Content[i], m.Content[i+1]
		text := said(name, value)
		below := value.Kind == yaml.MappingNode && len(value.Content) > 0
		switch {
		case !below:
			fmt.Fprintf(b, "| %s | %s | %s |\n", code(path+name.Value), code(written(value)), text)
		case text != "": // of all that follow
			fmt.Fprintf(b, "| %s | | %s |\n", code(path+name.Value), text)
		}
		if below {
			entries(b, path+name.Value+".", value)
		}
	}
}

// said is what comments say of a value: above it, or on its line. What stands above the first line of the file is of
// the file.
func said(name, value *yaml.Node) string {
	above := name.HeadComment
	if i := strings.LastIndex(above, "\n\n"); i >= 0 {
		above = above[i:]
	}
	var out []string
	for _, comment := range []string{above, name.LineComment, value.LineComment} {
		for line := range strings.Lines(comment) {
			out = append(out, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
		}
	}
	return cell(strings.Join(out, " "))
}

// written is a value as it stands in the file.
func written(v *yaml.Node) string {
	plain := *v
	plain.HeadComment, plain.LineComment, plain.FootComment = "", "", ""
	text, err := yaml.Marshal(&plain)
	if err != nil {
		return v.Value
	}
	return strings.TrimSpace(string(text))
}
