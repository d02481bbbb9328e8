// SPDX-License-Identifier: Apache-2.0

// Package keyring indexes the cluster's credentials in memory, from digest to key, and keeps the index up to date by
// watching ApiKeys and Namespaces. It implements authn.Keys.
//
// It stores what a decision needs and drops the objects. It does not decide: apikey.Usable does.
package keyring
