// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

type schema = apiextensionsv1.JSONSchemaProps

// fields writes the page of an ApiKey's fields.
func fields(text []byte) (string, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		return "", fmt.Errorf("read CRD: %w", err)
	}
	var b strings.Builder
	b.WriteString("<!-- Generated from the CRD by make generate. DO NOT EDIT. -->\n# Fields of an ApiKey\n\n" +
		"What the API server knows of each field, generated from `config/crd/bases`. " +
		"`kubectl explain apikey.spec` says the same.\n" +
		"Why things are as they are is in [concepts.md](concepts.md).\n")
	for _, v := range crd.Spec.Versions {
		fmt.Fprintf(
			&b,
			"\n`apiVersion: %s/%s`, `kind: %s`; %s, %s for short.\n",
			crd.Spec.Group,
			v.Name,
			crd.Spec.Names.Kind,
			strings.ToLower(string(crd.Spec.Scope)),
			code(strings.Join(crd.Spec.Names.ShortNames, "`, `")),
		)
		root := v.Schema.OpenAPIV3Schema
		for _, part := range []string{"spec", "status"} {
			s := root.Properties[part]
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", part, cell(s.Description))
			rules(&b, &s)
			b.WriteString("\n| field | type | default | bounds | |\n| --- | --- | --- | --- | --- |\n")
			rows(&b, part, &s)
		}
	}
	return b.String(), nil
}

// rules lists the rules of a part as a whole.
func rules(b *strings.Builder, s *schema) {
	if len(s.XValidations) > 0 {
		b.WriteString("\nRefused, as a whole:\n\n")
	}
	for _, r := range s.XValidations {
		fmt.Fprintf(b, "- %s\n", cell(r.Message))
	}
}

// rows writes a row for each field below.
func rows(b *strings.Builder, path string, s *schema) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		field := s.Properties[name]
		at := path + "." + name
		describe(b, at, &field, slices.Contains(s.Required, name))
		switch {
		case field.Items != nil && field.Items.Schema != nil:
			inside := field.Items.Schema
			if len(inside.Properties) == 0 {
				describe(b, at+"[]", inside, false)
			}
			rows(b, at+"[]", inside)
		case field.AdditionalProperties != nil && field.AdditionalProperties.Schema != nil:
			describe(b, at+"{}", field.AdditionalProperties.Schema, false)
		default:
			rows(b, at, &field)
		}
	}
}

// describe writes the row of one field.
func describe(b *strings.Builder, path string, s *schema, required bool) {
	kind := s.Type
	if s.Format != "" {
		kind = s.Format
	}
	if required {
		kind += ", required"
	}
	fallback := ""
	if s.Default != nil {
		fallback = code(strings.Trim(string(s.Default.Raw), `"`))
	}
	text := cell(s.Description)
	for _, r := range s.XValidations {
		text += " Refused: " + cell(r.Message) + "."
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", code(path), kind, fallback, bounds(s), strings.TrimSpace(text))
}

// bounds says what values there are.
func bounds(s *schema) string {
	var out []string
	for _, e := range s.Enum {
		out = append(out, code(strings.Trim(string(e.Raw), `"`)))
	}
	for _, limit := range []struct {
		from, to *int64
		of       string
	}{
		{s.MinLength, s.MaxLength, "characters"},
		{s.MinItems, s.MaxItems, "items"},
		{s.MinProperties, s.MaxProperties, "entries"},
	} {
		switch {
		case limit.from != nil && limit.to != nil && *limit.from == *limit.to:
			out = append(out, fmt.Sprintf("%d %s", *limit.to, limit.of))
		case limit.from != nil && limit.to != nil:
			out = append(out, fmt.Sprintf("%d to %d %s", *limit.from, *limit.to, limit.of))
		case limit.to != nil:
			out = append(out, fmt.Sprintf("up to %d %s", *limit.to, limit.of))
		case limit.from != nil:
			out = append(out, fmt.Sprintf("%d %s or more", *limit.from, limit.of))
		}
	}
	if s.Pattern != "" {
		out = append(out, code(s.Pattern))
	}
	return strings.Join(out, ", ")
}
