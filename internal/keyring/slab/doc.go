// SPDX-License-Identifier: Apache-2.0

// Package slab stores what the server keeps of ApiKeys: about 120 bytes a key, found by name or by the digest of
// a token.
//
// No record contains a pointer, so a million keys give the garbage collector nothing to follow. Records refer to
// each other by number, and names are bytes of an arena. A Slab does not lock: callers do.
package slab
