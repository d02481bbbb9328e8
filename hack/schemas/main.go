// SPDX-License-Identifier: Apache-2.0

// Command schemas writes JSON Schemas for kubeconform -strict: those of Kubernetes from its own sources, for each
// version that the Go module proxy has, and those of custom resources from the CRDs of their owners.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// versions are the last releases of each minor of Kubernetes whose sources the proxy has.
var versions = []string{"v1.33.13", "v1.34.4", "v1.35.4", "v1.36.3", "v1.37.2"}

// owners are the modules that custom resources of the chart are defined in, with their folders of CRDs.
var owners = map[string]string{
	"sigs.k8s.io/gateway-api@v1.6.3":                             "config/crd/standard",
	"github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd",
	"github.com/cert-manager/cert-manager@v1.21.2":               "deploy/crds",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schemas FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func run(to string) error {
	for _, v := range versions {
		dir, err := module("k8s.io/kubernetes@" + v)
		if err != nil {
			return err
		}
		if err := kubernetes(filepath.Join(dir, "api/openapi-spec/swagger.json"), filepath.Join(to, v)); err != nil {
			return err
		}
	}
	folders := []string{"config/crd/bases"}
	for m, folder := range owners {
		dir, err := module(m)
		if err != nil {
			return err
		}
		folders = append(folders, filepath.Join(dir, folder))
	}
	for _, f := range folders {
		if err := customs(f, filepath.Join(to, "custom")); err != nil {
			return err
		}
	}
	return nil
}

// module returns the folder of a module's sources, which are fetched if need be.
func module(at string) (string, error) {
	out, err := exec.CommandContext(context.Background(), "go", "mod", "download", "-json", at).Output()
	var m struct{ Dir, Error string }
	if json.Unmarshal(out, &m) == nil && m.Error != "" {
		err = errors.New(m.Error)
	}
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", at, err)
	}
	return m.Dir, nil
}

type object = map[string]any

// kubernetes writes the definitions of Kubernetes' OpenAPI document, and a file that leads to each kind.
func kubernetes(document, to string) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return fmt.Errorf("read OpenAPI: %w", err)
	}
	var doc struct {
		Definitions map[string]object `json:"definitions"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("read %s: %w", document, err)
	}
	for name, d := range doc.Definitions {
		tighten(d)
		if err := lead(to, name, d); err != nil {
			return err
		}
	}
	return write(filepath.Join(to, "_definitions.json"), object{"definitions": doc.Definitions})
}

// lead writes a file for each kind that a definition is of.
func lead(to, name string, d object) error {
	kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
	for _, k := range kinds {
		gvk, _ := k.(object)
		group, _ := gvk["group"].(string)
		if err := write(
			filepath.Join(to, fileName(fmt.Sprint(gvk["kind"]), group, fmt.Sprint(gvk["version"]))),
			object{"$ref": "_definitions.json#/definitions/" + name},
		); err != nil {
			return err
		}
	}
	return nil
}

// fileName is kubeconform's {{.ResourceKind}}{{.KindSuffix}}.json.
func fileName(kind, group, version string) string {
	group, _, _ = strings.Cut(group, ".")
	parts := []string{strings.ToLower(kind), group, version}
	if group == "" {
		parts = []string{parts[0], version}
	}
	return strings.Join(parts, "-") + ".json"
}

// tighten refuses fields that are not defined, and says what Kubernetes means by its formats.
func tighten(node any) {
	switch n := node.(type) {
	case []any:
		for _, v := range n {
			tighten(v)
		}
	case object:
		tightenObject(n)
		for _, v := range n {
			tighten(v)
		}
	}
}

func tightenObject(n object) {
	if n["format"] == "int-or-string" || n["x-kubernetes-int-or-string"] == true {
		delete(n, "type")
		delete(n, "format")
		n["anyOf"] = []any{object{"type": "string"}, object{"type": "number"}}
	}
	if _, isObject := n["properties"].(object); isObject && n["additionalProperties"] == nil &&
		n["x-kubernetes-preserve-unknown-fields"] != true {
		n["additionalProperties"] = false
	}
	if n["type"] == "string" && strings.HasPrefix(fmt.Sprint(n["description"]), "Quantity is a fixed-point") {
		n["type"] = []any{"string", "number"}
	}
}

// customs writes a schema for each version of each CRD of a folder.
func customs(folder, to string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no CRDs in %s: %w", folder, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read CRD: %w", err)
		}
		for _, doc := range strings.Split(string(text), "\n---\n") {
			if err := custom(doc, to); err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(file), err)
			}
		}
	}
	return nil
}

func custom(text, to string) error {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal([]byte(text), &crd); err != nil || crd.Kind != "CustomResourceDefinition" {
		return err //nolint:wrapcheck // the caller says which file
	}
	for _, v := range crd.Spec.Versions {
		raw, err := json.Marshal(v.Schema.OpenAPIV3Schema)
		if err != nil {
			return fmt.Errorf("write schema: %w", err)
		}
		var schema object
		if err := json.Unmarshal(raw, &schema); err != nil {
			return fmt.Errorf("write schema: %w", err)
		}
		delete(schema["properties"].(object), "metadata") //nolint:forcetypeassert // a CRD has properties
		tighten(schema)
		schema["properties"].(object)["metadata"] = object{"type": "object"} //nolint:forcetypeassert // as above
		if err := write(filepath.Join(to, fileName(crd.Spec.Names.Kind, crd.Spec.Group, v.Name)), schema); err != nil {
			return err
		}
	}
	return nil
}

func write(file string, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // to be read by all
		return fmt.Errorf("make folder: %w", err)
	}
	return os.WriteFile(file, text, 0o644) //nolint:gosec,wrapcheck // to be read by all; says its name
}
