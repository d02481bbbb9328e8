// SPDX-License-Identifier: Apache-2.0

// Package slab stores what the server keeps of ApiKeys, found by name or by the digest of a token. A key takes about
// 128 bytes, as measured in docs/performance.md.
//
// No record contains a pointer, so a million keys give the garbage collector nothing to follow. Records refer to
// each other by number, and names are bytes of an arena. A Slab does not lock: callers do.
package slab
