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
)

// All that the server may do: it has no verb on Secrets.
//
// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeys,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// Watch keeps the ring up to date with the cluster, or with the Namespaces that are named, until ctx is done. It returns an
// error only when no client can be made of the configuration; an API server that is away is retried, and
// the ring keeps answering from what it knows.
func (r *Ring) Watch(ctx context.Context, cfg *rest.Config, namespaces ...string) error {
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
	spaces, err := metadata.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make client for Namespaces: %w", err)
	}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	r.expect(namespaces)
	var wg sync.WaitGroup
	wg.Go(func() { r.beat(ctx, client, namespaces) })
	for _, ns := range namespaces {
		wg.Go(func() { r.watchKeys(ctx, client, ns) })
		wg.Go(func() { r.watchSpaces(ctx, spaces.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")), ns) })
	}
	wg.Wait()
	return nil
}

// watchKeys keeps up with the ApiKeys of a Namespace, or of all.
func (r *Ring) watchKeys(ctx context.Context, client rest.Interface, namespace string) {
	what := watchOf(watchedKeys, namespace)
	plain := cache.NewListWatchFromClient(client, "apikeys", namespace, fields.Everything())
	cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc:  plain.ListWithContext,
		WatchFuncWithContext: r.contact.watching(what, plain.WatchWithContext),
	}, &v1alpha1.ApiKey{}, keyStore{ring: r, namespace: namespace}, cache.ReflectorOptions{Name: what}).RunWithContext(ctx)
}

// watchSpaces keeps up with a Namespace, or with all. One is selected by its name, which a role can be bound to.
func (r *Ring) watchSpaces(ctx context.Context, client metadata.ResourceInterface, namespace string) {
	what, selected := watchOf(watchedSpaces, namespace), ""
	if namespace != metav1.NamespaceAll {
		selected = fields.OneTermEqualSelector(metav1.ObjectNameField, namespace).String()
	}
	cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selected
			return client.List(ctx, o)
		},
		WatchFuncWithContext: r.contact.watching(what, func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selected
			return client.Watch(ctx, o)
		}),
	}, &metav1.PartialObjectMetadata{}, spaceStore{ring: r, namespace: namespace}, cache.ReflectorOptions{Name: what}).RunWithContext(ctx)
}

// Load takes whole lists in place of watching: ApiKeys, and tenants by Namespace. It is for tools
// without a cluster, like hack/bench.
func (r *Ring) Load(keys iter.Seq[*v1alpha1.ApiKey], tenants map[string]string) {
	r.replaceSpaces(tenants, metav1.NamespaceAll)
	r.replace(func(yield func(record) bool) {
		for o := range keys {
			if !yield(read(o)) {
				return
			}
		}
	})
	r.expect(nil)
}

const watchedKeys, watchedSpaces = "apikeys", "namespaces"

// watchOf names a watch.
func watchOf(what, namespace string) string { return strings.TrimSuffix(what+"/"+namespace, "/") }

// keyStore is a reflector's store of ApiKeys that keeps records and forgets the objects.
type keyStore struct {
	ring      *Ring
	namespace string // empty: of all
}

func (s keyStore) Add(obj any) error {
	o, ok := obj.(*v1alpha1.ApiKey)
	if !ok {
		return fmt.Errorf("store ApiKey: got %T", obj)
	}
	s.ring.writing.Lock()
	defer s.ring.writing.Unlock()
	s.ring.put(read(o))
	return nil
}

func (s keyStore) Update(obj any) error { return s.Add(obj) }

func (s keyStore) Delete(obj any) error {
	o, ok := obj.(*v1alpha1.ApiKey)
	if !ok {
		return fmt.Errorf("delete ApiKey: got %T", obj)
	}
	s.ring.writing.Lock()
	defer s.ring.writing.Unlock()
	s.ring.remove(o.Namespace, o.Name)
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
	s.ring.writing.Lock()
	defer s.ring.writing.Unlock()
	if s.namespace == metav1.NamespaceAll {
		s.ring.replace(records)
	} else {
		s.ring.replaceIn(s.namespace, records)
	}
	s.ring.listed(watchOf(watchedKeys, s.namespace))
	return nil
}

func (keyStore) Resync() error { return nil }

// spaceStore is a reflector's store of Namespaces that keeps their tenants.
type spaceStore struct {
	ring      *Ring
	namespace string // empty: all
}

func (s spaceStore) Add(obj any) error { return s.put(obj, false) }

func (s spaceStore) Update(obj any) error { return s.put(obj, false) }

func (s spaceStore) Delete(obj any) error { return s.put(obj, true) }

func (s spaceStore) put(obj any, gone bool) error {
	o, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return fmt.Errorf("store Namespace: got %T", obj)
	}
	s.ring.putSpace(o.Name, tenantOf(o), gone)
	return nil
}

func (s spaceStore) Replace(list []any, _ string) error {
	tenants := make(map[string]string, len(list))
	for _, obj := range list {
		o, ok := obj.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("list Namespaces: got %T", obj)
		}
		tenants[o.Name] = tenantOf(o)
	}
	s.ring.replaceSpaces(tenants, s.namespace)
	s.ring.listed(watchOf(watchedSpaces, s.namespace))
	return nil
}

func (spaceStore) Resync() error { return nil }
