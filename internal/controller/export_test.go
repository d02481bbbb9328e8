// SPDX-License-Identifier: Apache-2.0

package controller

import "sigs.k8s.io/controller-runtime/pkg/client"

// Matches reports whether an object is found under that value of an index, as in the cache.
func Matches(o client.Object, field, value string) bool {
	for _, i := range indexes() {
		if i.field != field {
			continue
		}
		for _, v := range i.extract(o) {
			if v == value {
				return true
			}
		}
	}
	return false
}
