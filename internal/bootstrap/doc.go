// SPDX-License-Identifier: Apache-2.0

// Package bootstrap makes what an installation needs of its own and nobody has given it: certificates
// of the webhook and of the server, and the key that seals sessions. Each is kept in a Secret that
// it marks as its own; one of that name that somebody else has made is never touched.
package bootstrap
