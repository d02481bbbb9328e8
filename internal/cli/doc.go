// SPDX-License-Identifier: Apache-2.0

// Package cli implements the kubectl plugin `kubectl apikey`: it creates, lists, changes and imports ApiKeys, and
// explains why a token is refused.
//
// It acts with the Kubernetes permissions of its user and adds none. It verifies tokens with the code of the server.
// Tokens are read from standard input, never from an argument that other users of the machine could see. Only their
// SHA-256 is compared with the cluster; a token is sent to a server only if the user names one.
package cli
