// SPDX-License-Identifier: Apache-2.0

// Package policy embeds the policies of this folder, so that the controller can check that the cluster has them as
// they are here. The Helm chart and kustomize install them.
package policy

import "embed"

// Files are the manifests, written for Namespace apikey-system.
//
//go:embed *.yaml
var Files embed.FS

// Namespace is the Namespace that Files are written for.
const Namespace = "apikey-system"
