// SPDX-License-Identifier: Apache-2.0

package keyring

import "github.com/prometheus/client_golang/prometheus"

var (
	sizeDesc = prometheus.NewDesc("apikey_index_size",
		"Number of ApiKeys and credentials in the index.",
		[]string{"resource"}, nil)
	readyDesc = prometheus.NewDesc("apikey_index_ready",
		"1 when the server can decide, 0 when every answer is 503.", nil, nil)
	waitingDesc = prometheus.NewDesc("apikey_index_waiting_requests",
		"Number of requests that wait for the watch to deliver a token that may be new.", nil, nil)
	stalenessDesc = prometheus.NewDesc("apikey_index_staleness_seconds",
		"For how long the server may have missed changes. "+
			"A few seconds are normal; it grows while the API server is unavailable.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*Index) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sizeDesc, readyDesc, stalenessDesc, waitingDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (ix *Index) Collect(ch chan<- prometheus.Metric) {
	keys, credentials := ix.Size()
	ready := 0.0
	if ix.Ready() {
		ready = 1
	}
	ch <- prometheus.MustNewConstMetric(sizeDesc, prometheus.GaugeValue, float64(keys), "keys")
	ch <- prometheus.MustNewConstMetric(sizeDesc, prometheus.GaugeValue, float64(credentials), "credentials")
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready)
	ch <- prometheus.MustNewConstMetric(stalenessDesc, prometheus.GaugeValue, ix.Staleness().Seconds())
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(ix.waits.count()))
}
