// SPDX-License-Identifier: Apache-2.0

// Command token is `make token`: it signs an account of the local issuer in, and prints its JWT.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/kaana/apikey-operator/test/issuer"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	at, ca := os.Getenv("KAANA_ISSUER"), os.Getenv("KAANA_CA")
	if at == "" || ca == "" {
		fmt.Fprintln(os.Stderr, "make token: start `make run` first, in another shell")
		os.Exit(1)
	}
	token, err := issuer.SignIn(ctx, at, ca, os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "make token:", err)
		os.Exit(1)
	}
	fmt.Println(token.AccessToken)
}
