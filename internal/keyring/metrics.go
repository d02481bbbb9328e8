// SPDX-License-Identifier: Apache-2.0

package keyring

import "github.com/prometheus/client_golang/prometheus"

var (
	sizeDesc      = prometheus.NewDesc("apikey_index_size", "ApiKeys and credentials that the server knows.", []string{"of"}, nil)
	readyDesc     = prometheus.NewDesc("apikey_index_ready", "1 when verdicts are given, 0 when every answer is 503.", nil, nil)
	stalenessDesc = prometheus.NewDesc("apikey_index_staleness_seconds",
		"For how long the server may have missed changes. A few seconds are normal; it grows while the API server is away.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*Ring) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sizeDesc, readyDesc, stalenessDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (r *Ring) Collect(ch chan<- prometheus.Metric) {
	keys, credentials := r.Size()
	ready := 0.0
	if r.Ready() {
		ready = 1
	}
	ch <- prometheus.MustNewConstMetric(sizeDesc, prometheus.GaugeValue, float64(keys), "keys")
	ch <- prometheus.MustNewConstMetric(sizeDesc, prometheus.GaugeValue, float64(credentials), "credentials")
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready)
	ch <- prometheus.MustNewConstMetric(stalenessDesc, prometheus.GaugeValue, r.Staleness().Seconds())
}
