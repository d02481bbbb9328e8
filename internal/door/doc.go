// SPDX-License-Identifier: Apache-2.0

// Package door holds the verification endpoints: each one translates a protocol to and from the verdict of an
// Authenticator. ForwardAuth answers reverse proxies, TokenReview answers kube-apiserver, and Introspection answers
// resource servers. Package door/envoy adds Envoy's ext_authz over gRPC.
//
// An endpoint is a small struct whose fields are all it needs. Its Mount method adds it to an http.ServeMux;
// ForwardAuth has Wrap instead, which answers /auth before the mux. Handler combines the endpoints. Guard protects
// other handlers, such as the REST API, with the same verdict.
//
// The endpoints read exactly one credential from a request. The client of a denied request receives one of four codes,
// with the code's message and a challenge where the protocol has them. The exact reason goes to the audit log, without
// the token.
//
// The package does not decide which tokens are valid (package authn) and does not manage keys (package manage).
package door
