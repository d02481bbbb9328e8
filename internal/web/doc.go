// SPDX-License-Identifier: Apache-2.0

// Package web serves the HTML pages: sign-in, the list of keys, one key, and the forms that create and change keys.
//
// The pages show the same views as the JSON of package rest and call the same manage.Service. Package session keeps the
// user signed in; the user's access token is verified by door.Authenticator like any other token.
package web
