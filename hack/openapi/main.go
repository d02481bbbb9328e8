// SPDX-License-Identifier: Apache-2.0

// Command openapi prints the OpenAPI document of the REST API, as the server describes it.
package main

import (
	"fmt"
	"os"

	"github.com/kaana/apikey-operator/internal/rest"
)

func main() {
	text, err := rest.OpenAPI()
	if err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(text)
}
