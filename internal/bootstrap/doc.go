// SPDX-License-Identifier: Apache-2.0

// Package bootstrap creates what an installation needs and its configuration does not provide: the certificates of the
// webhook and the server, and the key that encrypts sessions. It stores each in a Secret with a label of its own. It
// never changes a Secret of that name without the label.
package bootstrap
