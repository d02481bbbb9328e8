// SPDX-License-Identifier: Apache-2.0

// Package rest is the REST API for managing API keys, under /api/, with its OpenAPI document and a page that shows the
// document to people.
//
// It translates requests to calls of manage.Service and results to JSON. The HTML pages of package web render the same
// types. The package does not decide what a caller may do: door.Guard verifies the caller, and manage.Service enforces
// the rules about keys.
package rest
