// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

var states = []string{string(v1alpha1.KeyActive), string(v1alpha1.KeySuspended), string(v1alpha1.KeyRevoked),
	string(kube.Expired), string(kube.Deleting)}

// filter are the flags that select ApiKeys.
type filter struct{ selector, state, owner string }

func (c *cli) list() *cobra.Command {
	var out output
	var f filter
	cmd := &cobra.Command{
		Use:               "list",
		Aliases:           []string{"ls", "get"},
		Short:             "List ApiKeys",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			if out.allNamespaces {
				namespace = metav1.NamespaceAll
			}
			found, err := f.find(cmd.Context(), k8s, namespace, c.now())
			if err != nil {
				return err
			}
			return c.show(&out, true, found...)
		},
	}
	cmd.Flags().BoolVarP(&out.allNamespaces, "all-namespaces", "A", false, "list ApiKeys of all Namespaces")
	cmd.Flags().StringVarP(&f.selector, "selector", "l", "", "list only keys with these labels")
	cmd.Flags().StringVar(&f.state, "state", "", "list only keys that are Active, Suspended, Revoked, Expired or Deleting")
	cmd.Flags().StringVar(&f.owner, "owner", "", "list only keys of this account, by username or id")
	completeValues(cmd, "state", states)
	out.add(cmd)
	return cmd
}

// find returns the ApiKeys that the flags select.
func (f filter) find(ctx context.Context, k8s client.Client, namespace string, now time.Time) (
	[]v1alpha1.ApiKey, error) {
	selector, err := labels.Parse(f.selector)
	if err != nil {
		return nil, exit{exitUsage, fmt.Errorf("-l: %w", err)}
	}
	if f.state != "" && !slices.Contains(states, f.state) {
		return nil, exit{exitUsage, fmt.Errorf("--state=%s: want Active, Suspended, Revoked, Expired or Deleting", f.state)}
	}
	found := []v1alpha1.ApiKey{}
	err = each(ctx, k8s, func(o *v1alpha1.ApiKey) {
		if f.matches(o, now) {
			found = append(found, *o)
		}
	}, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector})
	return found, err
}

func (f filter) matches(o *v1alpha1.ApiKey, now time.Time) bool {
	if f.state != "" && f.state != string(kube.StateOf(o, now)) {
		return false
	}
	owner := o.Spec.Owner
	return f.owner == "" || owner != nil && (owner.Username == f.owner || owner.ID == f.owner)
}
