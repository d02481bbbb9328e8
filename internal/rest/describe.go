// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/door"
	"github.com/kaana/apikey-operator/internal/manage"
)

//go:embed docs.html
var docsPage string

// documented is the page /api/docs: the OpenAPI document for people, without scripts and without content from other
// hosts.
var documented = template.Must(template.New("docs").Parse(docsPage))

// documentedOperation is one operation on the page.
type documentedOperation struct {
	Method, Path string
	*huma.Operation
	Fields []property
	Gives  []property
}

type property struct {
	Name, Type, Doc string
	Required        bool
}

// describe mounts the OpenAPI document, for programs and for people, and answers 405 to other methods on all paths.
func describe(mux *http.ServeMux, api huma.API) {
	document := api.OpenAPI()
	serve := func(path, kind string, body []byte) {
		door.MountMethod(mux, http.MethodGet, path, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Type", kind)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Content-Security-Policy",
				"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
			_, _ = w.Write(body)
		})
	}
	spec, err := document.MarshalJSON()
	yaml, err2 := document.YAML()
	var page bytes.Buffer
	err3 := documented.Execute(&page, documentedOperations(document))
	if err := errors.Join(err, err2, err3); err != nil { // a programming error, which any test finds
		panic("rest: describe the API: " + err.Error())
	}
	serve("/api/openapi.json", "application/json", spec)
	serve("/api/openapi.yaml", "application/yaml", yaml)
	serve("/api/docs", "text/html; charset=utf-8", page.Bytes())
	for path, item := range document.Paths {
		var allowed []string
		for _, o := range operations(item) {
			if allowed = append(allowed, o.Method); o.Method == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
		door.MountNotAllowed(mux, path, strings.Join(allowed, ", "))
	}
}

// OpenAPI returns the OpenAPI 3.1 document of the REST API, in YAML.
func OpenAPI() ([]byte, error) {
	a := &API{Manage: &manage.Service{}, Activity: &activity.Store{}}
	text, err := a.register(http.NewServeMux()).OpenAPI().YAML()
	if err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	return text, nil
}

func operations(item *huma.PathItem) []*huma.Operation {
	all := []*huma.Operation{item.Get, item.Post, item.Patch, item.Put, item.Delete}
	return slices.DeleteFunc(all, func(o *huma.Operation) bool { return o == nil })
}

func documentedOperations(document *huma.OpenAPI) []documentedOperation {
	paths := make([]string, 0, len(document.Paths))
	for p := range document.Paths {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	var out []documentedOperation
	for _, p := range paths {
		for _, o := range operations(document.Paths[p]) {
			e := documentedOperation{Method: o.Method, Path: p, Operation: o}
			for _, param := range o.Parameters {
				e.Fields = append(e.Fields, property{
					param.Name + " (" + param.In + ")", typeOf(document, param.Schema), param.Description, param.Required,
				})
			}
			if o.RequestBody != nil {
				for _, content := range o.RequestBody.Content {
					e.Fields = append(e.Fields, properties(document, content.Schema)...)
				}
			}
			for _, status := range []string{"200", "201"} {
				if r := o.Responses[status]; r != nil && r.Content["application/json"] != nil {
					e.Gives = properties(document, r.Content["application/json"].Schema)
				}
			}
			out = append(out, e)
		}
	}
	return out
}

func resolve(document *huma.OpenAPI, schema *huma.Schema) *huma.Schema {
	if schema != nil && schema.Ref != "" {
		return document.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}

func properties(document *huma.OpenAPI, schema *huma.Schema) []property {
	schema = resolve(document, schema)
	if schema == nil {
		return nil
	}
	names := make([]string, 0, len(schema.Properties))
	for name := range schema.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	out := make([]property, 0, len(names))
	for _, name := range names {
		p := schema.Properties[name]
		required := slices.Contains(schema.Required, name)
		out = append(out, property{name, typeOf(document, p), p.Description, required})
	}
	return out
}

func typeOf(document *huma.OpenAPI, schema *huma.Schema) string {
	schema = resolve(document, schema)
	switch {
	case schema == nil:
		return ""
	case len(schema.Enum) > 0:
		names := make([]string, 0, len(schema.Enum))
		for _, v := range schema.Enum {
			if name, ok := v.(string); ok {
				names = append(names, name)
			}
		}
		return strings.Join(names, " | ")
	case schema.Type == huma.TypeArray:
		return "list of " + typeOf(document, schema.Items)
	case schema.Format != "" && schema.Type == huma.TypeString:
		return schema.Format
	case schema.Type == "":
		return "number or string"
	}
	return schema.Type
}
