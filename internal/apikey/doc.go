// SPDX-License-Identifier: Apache-2.0

// Package apikey defines what an API key is and when it is valid: the format of tokens, their digest, the lifecycle
// decision (Decide) and the only definition of "valid" (Usable).
//
// Everything here is pure. Time, entropy and the state of the cluster are arguments. There is no client, context,
// clock or logger.
//
// # The lifecycle
//
// Decide takes one step at a time. The controller carries it out, observes the result and decides again, so that a
// crash after any step is completed by the next decision:
//
//	              ┌──────┐ recorded  ┌─────────┐ written  ┌─────────┐
//	no token ────►│ Mint ├──────────►│ Publish ├─────────►│ promote │
//	              └──▲───┘           └─────────┘          └─┬─────┬─┘
//	                 │ rotation due or requested,           │     │ has
//	                 │ Secret lost its token                │     │ consumers
//	             ┌───┴────┐                                 │     ▼
//	             │        │◄────────────────────────────────┘ ┌────────┐
//	             │        │◄──────────────────────────────────┤ Notify │
//	             │ Settle │                                   └────────┘
//	             │        │ Secret changed  ┌───────────┐
//	             │        ├────────────────►│ Redeliver │
//	             │        │◄────────────────┤           │
//	             └───┬────┘         written └───────────┘
//	                 │ revoked or expired
//	                 ▼
//	           ┌───────────┐
//	           │ Unpublish │ the Secret is deleted; the record stays
//	           └───────────┘
//
// To promote is not a step: it is a change of the records, in a plan whose step is the next one.
//
// A credential, which is the record of one token, goes through these phases:
//
//	Pending ──► Current ──► Retiring ──► Retired
//	recorded    in the      replaced;    refused
//	            Secret      works for
//	                        its overlap
package apikey
