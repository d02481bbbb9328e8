// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/manage"
)

//go:embed docs.html
var docsPage string

// documented is the page at /api/docs: the OpenAPI document for people, without a script and without
// anything from elsewhere.
var documented = template.Must(template.New("docs").Parse(docsPage))

// endpoint is one operation on the page.
type endpoint struct {
	Method, Path string
	*huma.Operation
	Fields []property
	Gives  []property
}

type property struct {
	Name, Type, Doc string
	Required        bool
}

// describe serves the OpenAPI document of everything that is mounted, for programs and people, and
// answers other methods on its paths.
func (s *Server) describe(mux *http.ServeMux, api huma.API) {
	document := api.OpenAPI()
	serve := func(path, kind string, body []byte) {
		only(mux, http.MethodGet, path, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["Content-Type"], h["X-Content-Type-Options"] = []string{kind}, noSniff
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
			_, _ = w.Write(body)
		})
	}
	spec, err := document.MarshalJSON()
	yaml, err2 := document.YAML()
	var page bytes.Buffer
	err3 := documented.Execute(&page, endpoints(document))
	if err != nil || err2 != nil || err3 != nil { // a programming error, which any test sees
		panic("server: describe the API: " + strings.Join([]string{errText(err), errText(err2), errText(err3)}, " "))
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
		notAllowed(mux, path, strings.Join(allowed, ", "))
	}
}

// OpenAPI returns the OpenAPI 3.1 document of the whole REST API, in YAML.
func OpenAPI() ([]byte, error) {
	s := New(Options{Manage: &manage.Service{}, Activity: &activity.Keeper{}})
	text, err := s.newAPI(http.NewServeMux()).OpenAPI().YAML()
	if err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	return text, nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func operations(item *huma.PathItem) []*huma.Operation {
	all := []*huma.Operation{item.Get, item.Post, item.Patch, item.Put, item.Delete}
	return slices.DeleteFunc(all, func(o *huma.Operation) bool { return o == nil })
}

func endpoints(document *huma.OpenAPI) []endpoint {
	paths := make([]string, 0, len(document.Paths))
	for p := range document.Paths {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	var out []endpoint
	for _, p := range paths {
		for _, o := range operations(document.Paths[p]) {
			e := endpoint{Method: o.Method, Path: p, Operation: o}
			for _, param := range o.Parameters {
				e.Fields = append(e.Fields, property{param.Name + " (" + param.In + ")", typeOf(document, param.Schema), param.Description, param.Required})
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
		out = append(out, property{name, typeOf(document, p), p.Description, slices.Contains(schema.Required, name)})
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
