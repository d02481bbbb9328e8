// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kaana/apikey-operator/internal/config"
	"github.com/kaana/apikey-operator/internal/trust"
)

const (
	checkTimeout = 10 * time.Second // of one request
	checkPause   = time.Second
	answerSize   = 4 << 10 // bytes of an answer that are read
)

// check is what a running server is asked, by `helm test` and by people.
type check struct {
	url, tokenFile, caFile string
	wait                   time.Duration
}

func checkCommand() *cobra.Command {
	var c check
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Ask a running server whether it is ready, refuses a stranger and knows a token",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&c.url, "url", "", "address of the server: https:// and a host")
	cmd.Flags().StringVar(&c.tokenFile, "token-file", "", "file with a token that is to be accepted")
	cmd.Flags().StringVar(
		&c.caFile,
		"ca-file",
		"",
		"PEM certificates that the server's is verified by; without it the system's",
	)
	cmd.Flags().DurationVar(
		&c.wait,
		"wait",
		time.Minute,
		"for how long to try again while the server does not answer as it should",
	)
	for _, required := range []string{"url", "token-file"} {
		_ = cmd.MarkFlagRequired(required)
	}
	return cmd
}

func (c check) run(ctx context.Context, out io.Writer) error {
	pem, err := config.ReadFile("--ca-file", c.caFile)
	if err != nil {
		return err
	}
	var roots *x509.CertPool
	if pem != nil {
		if roots, err = trust.Pool(pem); err != nil {
			return fmt.Errorf("--ca-file %s %w", c.caFile, err)
		}
	}
	client := trust.Client(roots, checkTimeout)
	until := time.Now().Add(c.wait)
	for _, step := range []struct {
		path, says string
		known      bool // with the token
		want       int
	}{
		{"/readyz", "ready", false, http.StatusOK},
		{"/api/user", "a stranger is refused", false, http.StatusUnauthorized},
		{"/api/user", "the token is known", true, http.StatusOK},
	} {
		for {
			answer, err := c.ask(ctx, client, step.path, step.known, step.want)
			if err == nil {
				_, _ = fmt.Fprintln(out, step.says+":", answer)
				break
			}
			if time.Now().After(until) || ctx.Err() != nil {
				return err
			}
			time.Sleep(checkPause)
		}
	}
	return nil
}

// ask returns the body of an answer of the status that is wanted. The token is read anew each time: it may rotate.
func (c check) ask(ctx context.Context, client *http.Client, path string, known bool, want int) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.url, "/")+path, nil)
	if err != nil {
		return "", fmt.Errorf("--url: %w", err)
	}
	if known {
		token, err := config.ReadFile("--token-file", c.tokenFile)
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err //nolint:wrapcheck // says the method and the address
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerSize))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if resp.StatusCode != want {
		return "", fmt.Errorf("GET %s: want %d, got %d: %s", path, want, resp.StatusCode, bytes.TrimSpace(body))
	}
	return string(bytes.TrimSpace(body)), nil
}
