// SPDX-License-Identifier: Apache-2.0

// Package web serves the HTML pages: sign-in, the list of keys, one key, the form that creates a key, and confirmations
// to rotate, suspend, resume, revoke and delete one. There is no form that edits a key.
//
// The pages show the same views as the JSON of package rest and call the same manage.Service. Package session keeps the
// user signed in; the user's access token is verified by door.Authenticator like any other token.
package web
