// SPDX-License-Identifier: Apache-2.0

// Package keyring is the cluster's credentials as an index in memory, from digest to key, kept
// up to date by watches on ApiKeys and Namespaces. It satisfies authn.Keys.
//
// It keeps what a verdict needs and forgets the objects. It judges nothing: apikey.Usable does.
package keyring
