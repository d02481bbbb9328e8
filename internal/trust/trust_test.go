// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/trust"
)

func TestATextWithoutACertificateIsAnError(t *testing.T) {
	for _, text := range []string{"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := trust.Pool([]byte(text)); !errors.Is(err, trust.ErrNoCertificate) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAClientTrustsItsOwnCAsAndStaysOnHTTPS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	var secure *httptest.Server
	secure = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, secure.URL+"/loop", http.StatusFound)
		case "/moved":
			http.Redirect(w, r, secure.URL+"/here", http.StatusFound)
		}
	}))
	defer secure.Close()
	roots, err := trust.Pool(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"a page is read", "/here", ""},
		{"a redirect within HTTPS is followed", "/moved", ""},
		{"a redirect to plain HTTP is not", "/down", "want https"},
		{"endless redirects end", "/loop", "more than 5 redirects"},
	} {
		resp, err := trust.Client(roots, 5*time.Second).Get(secure.URL + c.path)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
	if _, err := trust.Client(nil, 5*time.Second).Get(secure.URL + "/here"); err == nil {
		t.Error("a certificate that no trusted CA signed is accepted")
	}
}
