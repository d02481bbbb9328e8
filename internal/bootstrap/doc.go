// SPDX-License-Identifier: Apache-2.0

// Package bootstrap creates what an installation needs and its configuration does not provide: the certificates of the
// webhook and the server, and the key that encrypts sessions. It stores each in a Secret of its own, with the label
// app.kubernetes.io/managed-by: apikey-operator-controller. If a Secret with the configured name has another label or
// none, the package leaves it unchanged and logs an error.
package bootstrap
