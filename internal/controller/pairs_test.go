// SPDX-License-Identifier: Apache-2.0

//go:build pairs

package controller_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// `make test-faults-pairs` runs it: all pairs would be 200,000 and take a day, so it draws PAIRS of them
// (1000), from SEED.
var _ = Describe("whatever two API calls fail", Ordered, func() {
	It("in pairs that are drawn", func(ctx SpecContext) {
		pairs, seed := number("PAIRS", 1000), number("SEED", int(time.Now().UnixNano()))
		fmt.Println("PAIRS =", pairs, "SEED =", seed)
		draw := rand.New(rand.NewPCG(uint64(seed), 0))
		namespace := newNamespace(ctx)
		names := slices.Sorted(maps.Keys(scenarios))
		clean := map[string]*world{}
		for i, name := range names {
			w := newWorld(ctx, namespace, fmt.Sprintf("clean-%d", i), nil)
			scenarios[name](w)
			Expect(w.problems).To(BeEmpty())
			clean[name] = w
			w.final = w.outcome()
			w.clear()
		}
		// pick draws a fault that applies to a call after that one.
		pick := func(log []string, after int) (int, fault, bool) {
			for range 20 {
				if after >= len(log) {
					break
				}
				call := after + 1 + draw.IntN(len(log)-after)
				if f := faults[draw.IntN(len(faults))]; f.applies(log[call-1]) {
					return call, f, true
				}
			}
			return 0, fault{}, false
		}
		for i := range pairs {
			name := names[draw.IntN(len(names))]
			first, f1, ok := pick(clean[name].log, 0)
			if !ok {
				continue
			}
			one := newWorld(ctx, namespace, fmt.Sprintf("one-%d", i), map[int]fault{first: f1})
			scenarios[name](one)
			one.clear()
			second, f2, ok := pick(one.log, first)
			if !ok {
				continue
			}
			about := fmt.Sprintf("%s: %s at call %d (%s), then %s at call %d (%s)", name, f1.name, first, one.log[first-1], f2.name, second, one.log[second-1])
			w := newWorld(ctx, namespace, fmt.Sprintf("two-%d", i), map[int]fault{first: f1, second: f2})
			scenarios[name](w)
			Expect(w.problems).To(BeEmpty(), about)
			Expect(strings.HasSuffix(w.outcome(), same(name, clean[name].final))).To(BeTrue(), "%s: %s, want %s", about, w.outcome(), clean[name].final)
			w.clear()
		}
	})
})

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}
