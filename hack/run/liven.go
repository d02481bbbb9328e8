// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/test/cluster"
)

// used is a sample that is kept a little busy, from networks that are for documentation (RFC 5737).
type used struct {
	namespace, secret, key string
	from                   []string
	paths                  []string
	token                  string
}

func samples() []*used {
	return []*used{
		{
			namespace: "acme-prod",
			secret:    "quickstart",
			key:       "token",
			from:      []string{"192.0.2.10", "198.51.100.4"},
			paths:     []string{"/api/user", "/api/projects", "/api/keys?limit=5"},
		},
		{ //nolint:gosec // names, no secret
			namespace: "acme-prod",
			secret:    "billing-credentials",
			key:       "api-key",
			from:      []string{"192.0.2.20"},
			paths:     []string{"/auth?scope=invoices:write", "/auth?scope=invoices:write", "/api/user", "/api/projects"},
		},
		{
			namespace: "acme-dev",
			secret:    "deployer",
			key:       "token",
			from:      []string{"10.1.2.3", "10.1.2.3", "10.1.2.3", "203.0.113.9"},
			paths:     []string{"/api/projects", "/auth?role=member"},
		},
		{
			namespace: "globex-prod",
			secret:    "reporting",
			key:       "token",
			from:      []string{"198.51.100.200"},
			paths:     []string{"/api/user", "/api/projects"},
		},
	}
}

// liven uses the samples until ctx is done: a request or so a second, some of them refused.
func liven(ctx context.Context, c *cluster.Cluster, op *cluster.Operator) {
	keys := samples()
	for ctx.Err() == nil {
		k := keys[rand.IntN(len(keys))]          //nolint:gosec // any
		if k.token == "" || rand.IntN(60) == 0 { //nolint:gosec // now and then, because it may have rotated
			if out, err := c.Kubectl(
				ctx,
				"get",
				"secret",
				"-n",
				k.namespace,
				k.secret,
				"-o",
				"go-template={{index .data \""+k.key+"\" | base64decode}}",
			); err == nil {
				k.token = strings.TrimSpace(out)
			}
		}
		request(ctx, op, k)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(300+rand.IntN(1200)) * time.Millisecond): //nolint:gosec // irregular
		}
	}
}

func request(ctx context.Context, op *cluster.Operator, k *used) {
	path := k.paths[rand.IntN(len(k.paths))] //nolint:gosec // any of them
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, op.URL+path, nil)
	if err != nil {
		return
	}
	r.Header.Set("Authorization", "Bearer "+k.token)
	r.Header.Set("X-Forwarded-For", k.from[rand.IntN(len(k.from))]) //nolint:gosec // any
	r.Header.Set("User-Agent", "make-run-samples")
	resp, err := op.Client.Do(r)
	if err != nil {
		return
	}
	_ = resp.Body.Close()
}

// tellOfSamples says that what is seen of the samples is made up.
func tellOfSamples() {
	fmt.Println(
		"The samples are used a little by make run itself (agent make-run-samples, networks of RFC 5737), " +
			"so that there is activity to look at.",
	)
}
