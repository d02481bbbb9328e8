// SPDX-License-Identifier: Apache-2.0

// Package apikey owns what a key is and when it lives: the token's format, its digest, the
// lifecycle decision (Decide) and the only definition of "valid" (Usable).
//
// Everything here is pure. Time, entropy and what was seen of the cluster are arguments; there
// is no client, context, clock or logger, and no import beyond the standard library and a cron parser.
package apikey
