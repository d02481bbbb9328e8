// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/config"
	"github.com/kaana/apikey-operator/internal/web/session"
)

// newSessions returns the sessions of the pages, and nil if there are no pages.
func newSessions(cfg config.Server, keeper *activity.Keeper, log *slog.Logger) (*session.Sessions, error) {
	issuer, on, err := cfg.PagesIssuer()
	if err != nil || !on {
		return nil, err
	}
	p := cfg.Pages
	key, err1 := config.ReadFile("pages.sessionKeyFile", p.SessionKeyFile)
	secret, err2 := config.ReadFile("pages.clientSecretFile", p.ClientSecretFile)
	client, err3 := issuer.Issuer.Client()
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	var registry session.Registry // without a database, of this server alone
	if keeper != nil {
		registry = keeper.Store
	}
	sessions, err := session.New(session.Config{Registry: registry, Log: log,
		Issuer: issuer.Issuer.URL, ClientID: p.ClientID,
		ClientSecret: string(bytes.TrimSpace(secret)), Audience: issuer.Issuer.Audiences[0], Scopes: p.Scopes,
		URL: p.URL, Key: key, Client: client}, time.Now)
	if err != nil {
		return nil, fmt.Errorf("configuration: pages.sessionKeyFile: %w", err)
	}
	return sessions, nil
}
