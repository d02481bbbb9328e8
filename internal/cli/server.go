// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
)

const (
	requestTimeout  = 30 * time.Second
	maxResponseSize = 1 << 20
)

// serverFlags say how to reach the server, for what the cluster does not know.
type serverFlags struct{ url, caFile string }

func (s *serverFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.url, "server-url", "", "send the token to the server at this address: https:// and a host")
	cmd.Flags().StringVar(&s.caFile, "server-ca", "",
		"file with the PEM certificates that verify the server; default: those of the system")
}

// checkFormat checks -o of a command that prints a table, or the response of the server as JSON.
func (s *serverFlags) checkFormat(format string) error {
	switch {
	case format != formatTable && format != "json":
		return exit{exitUsage, fmt.Errorf("-o %s: want table or json", format)}
	case format == "json" && s.url == "":
		return exit{exitUsage, errors.New("-o json prints the response of the server: give --server-url")}
	}
	return nil
}

// request sends a GET request with a token, and returns the status and the body of the response.
func (s *serverFlags) request(ctx context.Context, path, token string) (int, []byte, error) {
	at, err := url.Parse(s.url)
	if err != nil || at.Scheme != "https" || at.Host == "" {
		return 0, nil, exit{exitUsage, errors.New("--server-url: want https:// and a host")}
	}
	config := &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: s.caFile}, Timeout: requestTimeout}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, nil, fmt.Errorf("--server-ca: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.url, "/")+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("request %s: %w", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := httpClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("request %s: %w", path, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseSize))
	return resp.StatusCode, body, errors.Join(err, resp.Body.Close())
}

// ask reads a response of the server into a value, or prints it if the format is json, and reports whether it has. The
// token to ask with is read from standard input.
func (c *cli) ask(ctx context.Context, s serverFlags, path, format string, into any) (printed bool, err error) {
	token, err := c.readToken()
	if err != nil {
		return false, err
	}
	status, body, err := s.request(ctx, path, token)
	if err != nil {
		return false, err
	}
	if status != http.StatusOK {
		return false, fmt.Errorf("the server answers with status %d: %s", status, bytes.TrimSpace(body))
	}
	if format == "json" {
		c.printf("%s", bytes.TrimSpace(body))
		return true, nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, fmt.Errorf("read the response of the server: %w", err)
	}
	return false, nil
}

// serverVerdict prints what the server answers to a token.
func (c *cli) serverVerdict(ctx context.Context, s serverFlags, token string) error {
	status, body, err := s.request(ctx, "/api/user", token)
	if err != nil {
		return err
	}
	c.printf("%s", bytes.TrimSpace(body))
	switch status {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return exit{exitRefused, fmt.Errorf("the server refuses the token: status %d", status)}
	}
	return fmt.Errorf("the server cannot decide now: status %d; retry", status)
}
