// SPDX-License-Identifier: Apache-2.0

// Command caller is a workload of the tests on a real node: it calls the server fifty times a second with the token
// that it is given, and says once a second how that went. A file is read anew for each call, as a workload should;
// TOKEN, of the environment, never changes while it runs.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	pause     = 20 * time.Millisecond
	sayEvery  = time.Second
	timeout   = 5 * time.Second
	hintBytes = 4
)

// tally is what is said.
type tally struct {
	OK      int    `json:"ok"`
	Refused int    `json:"refused"` // 401 and 403
	Failed  int    `json:"failed"`  // no answer, or another
	Hint    string `json:"hint"`    // the end of the token that was accepted last
	Last    string `json:"last"`    // what went wrong last
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv("URL"), os.Getenv("CA_FILE"), os.Getenv("TOKEN_FILE"), os.Getenv("TOKEN")); err != nil {
		fmt.Fprintln(os.Stderr, "caller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, caFile, tokenFile, token string) error {
	pem, err := os.ReadFile(caFile) //nolint:gosec // what its test names
	if err != nil {
		return fmt.Errorf("read CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("the CA is none")
	}
	client := &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}},
	}
	var t tally
	said := time.Now()
	for ctx.Err() == nil {
		if tokenFile != "" {
			text, err := os.ReadFile(tokenFile) //nolint:gosec // as above
			if err != nil {
				return fmt.Errorf("read token: %w", err)
			}
			token = string(bytes.TrimSpace(text))
		}
		t.call(ctx, client, url, token)
		if time.Since(said) >= sayEvery {
			said = time.Now()
			if err := json.NewEncoder(os.Stdout).Encode(t); err != nil {
				return fmt.Errorf("say: %w", err)
			}
		}
		time.Sleep(pause)
	}
	return nil
}

func (t *tally) call(ctx context.Context, client *http.Client, url, token string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // as above
	if err != nil {
		t.Failed, t.Last = t.Failed+1, err.Error()
		return
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req) //nolint:gosec // as above
	if err != nil {
		if ctx.Err() == nil {
			t.Failed, t.Last = t.Failed+1, err.Error()
		}
		return
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		t.OK, t.Hint = t.OK+1, token[max(0, len(token)-hintBytes):]
	case http.StatusUnauthorized, http.StatusForbidden:
		t.Refused, t.Last = t.Refused+1, string(body)
	default:
		t.Failed, t.Last = t.Failed+1, fmt.Sprint(resp.StatusCode, " ", string(body))
	}
}
