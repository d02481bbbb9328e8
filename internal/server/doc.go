// SPDX-License-Identifier: Apache-2.0

// Package server is the doors: each translates one protocol to and from the one verdict of
// authn. A door mounts itself; Handler lists the doors.
//
// It speaks TLS only, reads exactly one credential from a request, and tells strangers nothing
// but a code; the reason goes to the audit log, without the credential.
package server
