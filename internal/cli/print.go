// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const formatTable = "table"

var formats = []string{formatTable, "json", "yaml", "name"}

// output is the flag -o.
type output struct {
	format        string
	allNamespaces bool // the table has a column for the Namespace
	structured    *genericclioptions.PrintFlags
}

func (o *output) add(cmd *cobra.Command) {
	o.structured = genericclioptions.NewPrintFlags("")
	cmd.Flags().StringVarP(&o.format, "output", "o", formatTable, "table, json, yaml or name")
	completeValues(cmd, "output", formats)
}

// check refuses an unknown format before anything is changed.
func (o *output) check() error {
	if !slices.Contains(formats, o.format) {
		return exit{exitUsage, fmt.Errorf("-o %s: want table, json, yaml or name", o.format)}
	}
	return nil
}

// completeValues completes a flag with fixed values.
func completeValues(cmd *cobra.Command, flag string, values []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// show prints one ApiKey as an object, or ApiKeys as a list.
func (c *cli) show(o *output, list bool, keys ...v1alpha1.ApiKey) error {
	if o.format == formatTable {
		return c.table(o, keys)
	}
	for i := range keys {
		keys[i].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ApiKey"))
		keys[i].ManagedFields = nil
	}
	o.structured.OutputFormat = &o.format
	printer, err := o.structured.ToPrinter()
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if list && o.format != "name" {
		all := &v1alpha1.ApiKeyList{Items: keys}
		all.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ApiKeyList"))
		return printer.PrintObj(all, c.Out) //nolint:wrapcheck // of our own output
	}
	for i := range keys {
		if err := printer.PrintObj(&keys[i], c.Out); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}

// table prints the columns that `kubectl get apikeys` has too, and those that say who uses a key.
func (c *cli) table(o *output, keys []v1alpha1.ApiKey) error {
	if len(keys) == 0 {
		c.notef("No ApiKeys found.")
		return nil
	}
	table := &metav1.Table{}
	for _, name := range []string{"Name", "State", "Ready", "Accepted", "Reason", "Role", "Owner", "Next rotation",
		"Last used", "Expires", "Age"} {
		table.ColumnDefinitions = append(table.ColumnDefinitions,
			metav1.TableColumnDefinition{Name: name, Type: "string"})
	}
	now := c.now()
	for i := range keys {
		k := &keys[i]
		ready, reason := conditionOf(k, v1alpha1.ConditionReady)
		accepted, _ := conditionOf(k, v1alpha1.ConditionAccepted)
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells: []any{k.Name, string(kube.StateOf(k, now)), ready, accepted, reason, string(roleOf(k)), ownerOf(k),
				relative(k.Status.NextRotationTime, now), age(k.Status.LastUsedTime, now),
				relative(k.Spec.ExpiresAt, now), age(&k.CreationTimestamp, now)},
			Object: runtime.RawExtension{Object: &metav1.PartialObjectMetadata{ObjectMeta: k.ObjectMeta}},
		})
	}
	printer := printers.NewTablePrinter(printers.PrintOptions{WithNamespace: o.allNamespaces})
	return printer.PrintObj(table, c.Out) //nolint:wrapcheck // of our own output
}

// conditionOf returns the status and the reason of a condition.
func conditionOf(k *v1alpha1.ApiKey, kind string) (status, reason string) {
	c := meta.FindStatusCondition(k.Status.Conditions, kind)
	if c == nil {
		return "-", "-"
	}
	return string(c.Status), c.Reason
}

func roleOf(k *v1alpha1.ApiKey) v1alpha1.Role { return cmp.Or(k.Spec.Role, v1alpha1.RoleMember) }

func ownerOf(k *v1alpha1.ApiKey) string {
	if k.Spec.Owner == nil {
		return "-"
	}
	return k.Spec.Owner.Username
}

// joined lists values, or returns none when there are none.
func joined[T ~string](values []T, none string) string {
	if len(values) == 0 {
		return none
	}
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, string(v))
	}
	return strings.Join(out, ", ")
}
