// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

const maxCompletions = 500

// cluster returns a client for the cluster that the flags of kubectl select, and the Namespace.
func (c *cli) cluster() (client.Client, string, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS = -1 // the API server limits requests itself, and import bounds its concurrency
	config.WarningHandler = rest.NewWarningWriter(c.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	namespace, _, err := c.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	types, err := scheme()
	if err != nil {
		return nil, "", err
	}
	k8s, err := client.New(config, client.Options{Scheme: types})
	if err != nil {
		return nil, "", fmt.Errorf("connect to the cluster: %w", err)
	}
	return k8s, namespace, nil
}

func scheme() (*runtime.Scheme, error) {
	types := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(types), v1alpha1.AddToScheme(types)); err != nil {
		return nil, fmt.Errorf("register types: %w", err)
	}
	return types, nil
}

// each calls visit for every ApiKey, and lists them in pages.
func each(ctx context.Context, k8s client.Reader, visit func(*v1alpha1.ApiKey), options ...client.ListOption) error {
	pages := pager.New(func(ctx context.Context, page metav1.ListOptions) (runtime.Object, error) {
		var list v1alpha1.ApiKeyList
		limits := []client.ListOption{client.Limit(page.Limit), client.Continue(page.Continue)}
		return &list, k8s.List(ctx, &list, slices.Concat(options, limits)...)
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		if key, ok := o.(*v1alpha1.ApiKey); ok {
			visit(key)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list ApiKeys: %w", err)
	}
	return nil
}

// get returns an ApiKey.
func get(ctx context.Context, k8s client.Reader, namespace, name string) (*v1alpha1.ApiKey, error) {
	var o v1alpha1.ApiKey
	err := k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &o)
	if apierrors.IsNotFound(err) {
		return nil, notFound(namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("get ApiKey %s: %w", name, err)
	}
	return &o, nil
}

func notFound(namespace, name string) error {
	return fmt.Errorf("there is no ApiKey %s in Namespace %s; -n selects another Namespace", name, namespace)
}

// bareNames returns names without the kind that -o name writes before them.
func bareNames(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, n[strings.LastIndex(n, "/")+1:])
	}
	return out
}

// completeNames completes names of ApiKeys.
func (c *cli) completeNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	k8s, namespace, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var list v1alpha1.ApiKeyList
	if err := k8s.List(cmd.Context(), &list, client.InNamespace(namespace), client.Limit(maxCompletions)); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for i := range list.Items {
		if name := list.Items[i].Name; !slices.Contains(args, name) {
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeName completes one name.
func (c *cli) completeName(cmd *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeNames(cmd, args, part)
}

// ownsSecret reports whether the Secret in the status of a key exists and belongs to the key.
func ownsSecret(ctx context.Context, k8s client.Reader, o *v1alpha1.ApiKey) (bool, error) {
	secret := &metav1.PartialObjectMetadata{} // without the data
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := k8s.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.Status.SecretName}, secret)
	if err != nil {
		return false, client.IgnoreNotFound(err) //nolint:wrapcheck // names the Secret
	}
	owned := slices.ContainsFunc(secret.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == o.UID })
	return owned, nil
}

// tenantOf returns the tenant that a Namespace belongs to.
func tenantOf(ctx context.Context, k8s client.Reader, namespace string) (string, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := k8s.Get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return "", fmt.Errorf("get Namespace: %w", err)
	}
	return kube.TenantOf(ns), nil
}
