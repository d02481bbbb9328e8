// SPDX-License-Identifier: Apache-2.0

// Package door holds the verification endpoints: each one translates a protocol to and from the verdict of an
// Authenticator. ForwardAuth answers reverse proxies, TokenReview answers kube-apiserver, and Introspection answers
// resource servers. Package door/envoy adds Envoy's ext_authz over gRPC.
//
// An endpoint is a small struct. Its fields are all it needs, and its Mount method adds it to an http.ServeMux; Handler
// combines the endpoints. Guard protects other handlers, such as the REST API, with the same verdict.
//
// The endpoints read exactly one credential from a request. They return only an error code to the client. The exact
// reason goes to the audit log, without the token.
//
// The package does not decide which tokens are valid (package authn) and does not manage keys (package manage).
package door
