// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// The permissions below and in package manage are all that the server has. None is on Secrets.
//
// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeys,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// Watch keeps the index up to date with the whole cluster, or with the given Namespaces, until ctx is done. It returns
// an error only if the configuration is invalid. It retries while the API server is unavailable, and the index keeps
// answering from what it knows.
func (ix *Index) Watch(ctx context.Context, cfg *rest.Config, namespaces ...string) error {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("register ApiKey: %w", err)
	}
	keys := rest.CopyConfig(cfg)
	keys.GroupVersion, keys.APIPath = &v1alpha1.GroupVersion, "/apis"
	keys.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(keys)
	if err != nil {
		return fmt.Errorf("make client for ApiKeys: %w", err)
	}
	metadataClient, err := metadata.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make client for Namespaces: %w", err)
	}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	resource := metadataClient.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	ix.expect(namespaces)
	var wg sync.WaitGroup
	wg.Go(func() { ix.heartbeat(ctx, resource, namespaces) })
	for _, ns := range namespaces {
		wg.Go(func() { ix.watchKeys(ctx, client, ns) })
		wg.Go(func() { ix.watchNamespaces(ctx, resource, ns) })
	}
	wg.Wait()
	return nil
}

// watchKeys watches the ApiKeys of a Namespace, or of all.
func (ix *Index) watchKeys(ctx context.Context, client rest.Interface, namespace string) {
	name := watchName(watchedKeys, namespace)
	plain := cache.NewListWatchFromClient(client, "apikeys", namespace, fields.Everything())
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return plain.ListWithContext(ctx, consistent(o))
		},
		WatchFuncWithContext: ix.contact.watching(name, plain.WatchWithContext),
	}
	store := keyStore{index: ix, namespace: namespace}
	options := cache.ReflectorOptions{Name: name}
	cache.NewReflectorWithOptions(source, &v1alpha1.ApiKey{}, store, options).RunWithContext(ctx)
}

// watchNamespaces watches one Namespace, or all. It selects one by name, because a role can be limited to a name.
func (ix *Index) watchNamespaces(ctx context.Context, client metadata.ResourceInterface, namespace string) {
	name, selected := watchName(watchedNamespaces, namespace), ""
	if namespace != metav1.NamespaceAll {
		selected = fields.OneTermEqualSelector(metav1.ObjectNameField, namespace).String()
	}
	open := func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.FieldSelector = selected
		return client.Watch(ctx, o)
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selected
			return client.List(ctx, consistent(o))
		},
		WatchFuncWithContext: ix.contact.watching(name, open),
	}
	store, options := namespaceStore{index: ix, namespace: namespace}, cache.ReflectorOptions{Name: name}
	cache.NewReflectorWithOptions(source, &metav1.PartialObjectMetadata{}, store, options).RunWithContext(ctx)
}

// consistent returns the options of a list that is at least as new as the request. Reflectors begin with any version
// that the API server has in its cache, which may be older than a revocation.
func consistent(o metav1.ListOptions) metav1.ListOptions {
	if o.ResourceVersion == "0" {
		o.ResourceVersion = ""
	}
	return o
}

// Load fills the index from complete lists instead of watches: ApiKeys, and tenants by Namespace. It is for tools
// without a cluster, like hack/bench.
func (ix *Index) Load(keys iter.Seq[*v1alpha1.ApiKey], tenants map[string]string) {
	ix.replaceNamespaces(tenants, metav1.NamespaceAll)
	ix.replace(func(yield func(record) bool) {
		for o := range keys {
			if !yield(read(o)) {
				return
			}
		}
	})
	ix.expect(nil)
}

const watchedKeys, watchedNamespaces = "apikeys", "namespaces"

// watchName returns the name of the watch of a resource in a Namespace, or in all of them.
func watchName(resource, namespace string) string {
	return strings.TrimSuffix(resource+"/"+namespace, "/")
}

// keyStore is the store of a reflector of ApiKeys. It keeps records and drops the objects.
type keyStore struct {
	index     *Index
	namespace string // empty for all
}

func (s keyStore) Add(obj any) error {
	o, ok := obj.(*v1alpha1.ApiKey)
	if !ok {
		return fmt.Errorf("store ApiKey: got %T", obj)
	}
	s.index.writing.Lock()
	defer s.index.writing.Unlock()
	s.index.put(read(o))
	return nil
}

func (s keyStore) Update(obj any) error { return s.Add(obj) }

func (s keyStore) Delete(obj any) error {
	o, ok := obj.(*v1alpha1.ApiKey)
	if !ok {
		return fmt.Errorf("delete ApiKey: got %T", obj)
	}
	s.index.writing.Lock()
	defer s.index.writing.Unlock()
	s.index.remove(o.Namespace, o.Name)
	s.index.waits.gone(kube.Credentials(o))
	return nil
}

func (s keyStore) Replace(list []any, _ string) error {
	for _, obj := range list {
		if _, ok := obj.(*v1alpha1.ApiKey); !ok {
			return fmt.Errorf("list ApiKeys: got %T", obj)
		}
	}
	records := func(yield func(record) bool) {
		for _, obj := range list {
			if o, ok := obj.(*v1alpha1.ApiKey); ok && !yield(read(o)) {
				return
			}
		}
	}
	s.index.writing.Lock()
	defer s.index.writing.Unlock()
	if s.namespace == metav1.NamespaceAll {
		s.index.replace(records)
	} else {
		s.index.replaceIn(s.namespace, records)
	}
	s.index.listed(watchName(watchedKeys, s.namespace))
	return nil
}

func (keyStore) Resync() error { return nil }

// namespaceStore is the store of a reflector of Namespaces. It keeps their tenants.
type namespaceStore struct {
	index     *Index
	namespace string // empty for all
}

func (s namespaceStore) Add(obj any) error { return s.put(obj, false) }

func (s namespaceStore) Update(obj any) error { return s.put(obj, false) }

func (s namespaceStore) Delete(obj any) error { return s.put(obj, true) }

func (s namespaceStore) put(obj any, gone bool) error {
	o, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return fmt.Errorf("store Namespace: got %T", obj)
	}
	s.index.putNamespace(o.Name, kube.TenantOf(o), gone)
	return nil
}

func (s namespaceStore) Replace(list []any, _ string) error {
	tenants := make(map[string]string, len(list))
	for _, obj := range list {
		o, ok := obj.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("list Namespaces: got %T", obj)
		}
		tenants[o.Name] = kube.TenantOf(o)
	}
	s.index.replaceNamespaces(tenants, s.namespace)
	s.index.listed(watchName(watchedNamespaces, s.namespace))
	return nil
}

func (namespaceStore) Resync() error { return nil }
