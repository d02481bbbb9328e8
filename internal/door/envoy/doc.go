// SPDX-License-Identifier: Apache-2.0

// Package envoy is the ext_authz endpoint for Envoy and for products that are built on it:
// envoy.service.auth.v3.Authorization over gRPC. The verdict is the one of door.Authenticator.
//
// It is the only package under internal/ that imports gRPC and Envoy's protobufs.
package envoy
