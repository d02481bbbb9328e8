// SPDX-License-Identifier: Apache-2.0

package jwt

import "github.com/prometheus/client_golang/prometheus"

var ageDesc = prometheus.NewDesc("apikey_jwks_age_seconds",
	"Since when an issuer's keys were last fetched; -1: never. Ten minutes are normal.", []string{"issuer"}, nil)

// Describe implements prometheus.Collector.
func (*Verifier) Describe(ch chan<- *prometheus.Desc) { ch <- ageDesc }

// Collect implements prometheus.Collector.
func (v *Verifier) Collect(ch chan<- prometheus.Metric) {
	for issuer, t := range v.issuers {
		age := -1.0
		if d := t.keys.age(); d >= 0 {
			age = d.Seconds()
		}
		ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, age, issuer)
	}
}
