// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// output is the flag -o.
type output struct {
	format     string
	allSpaces  bool // the table has a column for the Namespace
	structured *genericclioptions.PrintFlags
}

func (o *output) add(cmd *cobra.Command) {
	o.structured = genericclioptions.NewPrintFlags("")
	cmd.Flags().StringVarP(&o.format, "output", "o", "table", "table, json, yaml or name")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml", "name"}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses a format before anything is done.
func (o *output) check() error {
	if !slices.Contains([]string{"table", "json", "yaml", "name"}, o.format) {
		return exit{exitUsage, fmt.Errorf("-o %s: want table, json, yaml or name", o.format)}
	}
	return nil
}

// show prints ApiKeys: one as itself, many as a list.
func (c *cli) show(o *output, list bool, keys ...v1alpha1.ApiKey) error {
	if o.format == "table" {
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

func (c *cli) table(o *output, keys []v1alpha1.ApiKey) error {
	table := &metav1.Table{}
	for _, name := range []string{"Name", "State", "Ready", "Role", "Owner", "Next rotation", "Last used", "Expires", "Age"} {
		table.ColumnDefinitions = append(table.ColumnDefinitions, metav1.TableColumnDefinition{Name: name, Type: "string"})
	}
	now := time.Now()
	for i := range keys {
		k := &keys[i]
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells: []any{k.Name, string(cmp.Or(k.Spec.State, v1alpha1.KeyActive)), readiness(k), string(cmp.Or(k.Spec.Role, v1alpha1.RoleMember)), ownerOf(k),
				until(k.Status.NextRotationTime, now), ago(k.Status.LastUsedTime, now), until(k.Spec.ExpiresAt, now), ago(&k.CreationTimestamp, now)},
			Object: runtime.RawExtension{Object: &metav1.PartialObjectMetadata{ObjectMeta: k.ObjectMeta}},
		})
	}
	if len(keys) == 0 {
		c.say("No ApiKeys found.")
		return nil
	}
	return printers.NewTablePrinter(printers.PrintOptions{WithNamespace: o.allSpaces}).PrintObj(table, c.Out) //nolint:wrapcheck // of our own output
}

// readiness is the status of condition Ready, with the reason when there is something to say.
func readiness(k *v1alpha1.ApiKey) string {
	for _, c := range k.Status.Conditions {
		if c.Type == "Ready" {
			if c.Status == metav1.ConditionTrue {
				return "True"
			}
			return string(c.Status) + " (" + c.Reason + ")"
		}
	}
	return "-"
}

func ownerOf(k *v1alpha1.ApiKey) string {
	if k.Spec.Owner == nil {
		return "-"
	}
	return k.Spec.Owner.Username
}

// ago is an instant that has passed, as kubectl writes it.
func ago(t *metav1.Time, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// until is an instant to come.
func until(t *metav1.Time, now time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case t.After(now):
		return "in " + duration.HumanDuration(t.Sub(now))
	}
	return duration.HumanDuration(now.Sub(t.Time)) + " ago"
}
