// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"strings"

	"github.com/go-analyze/charts"

	"github.com/kaana/apikey-operator/internal/authn"
)

const (
	plotWidth, plotHeight = 960, 260
	plotLabels            = 12
)

// themes are the colours of plots, those of the page.
var themes = map[string]charts.ColorPalette{
	"light": charts.MakeTheme(charts.ThemeOption{AxisStrokeColor: charts.ParseColor("#d5dae0"), AxisSplitLineColor: charts.ParseColor("#e6e9ed"),
		BackgroundColor: charts.ParseColor("#ffffff"), TextColor: charts.ParseColor("#59636e"), SeriesColors: []charts.Color{charts.ParseColor("#1f5fbf"), charts.ParseColor("#c4453c")}}),
	"dark": charts.MakeTheme(charts.ThemeOption{IsDarkMode: true, AxisStrokeColor: charts.ParseColor("#343b43"), AxisSplitLineColor: charts.ParseColor("#2b3138"),
		BackgroundColor: charts.ParseColor("#181c20"), TextColor: charts.ParseColor("#a3adb8"), SeriesColors: []charts.Color{charts.ParseColor("#8ab8ff"), charts.ParseColor("#ff9d94")}}),
}

// showPlot draws the requests of a key over the last day, in the colours of the page.
func (s *Server) showPlot(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	theme := themes[strings.TrimSuffix(r.PathValue("plot"), ".svg")]
	v, err := s.shownKey(r.Context(), p, r)
	if err != nil || v.Activity == nil || theme == nil {
		http.Error(w, "There is no such plot", http.StatusNotFound)
		return
	}
	svg, err := plot(v.Activity.Series, theme)
	if err != nil {
		s.Log.ErrorContext(r.Context(), "draw plot", "error", err)
		http.Error(w, "The plot cannot be drawn", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'") // it is a picture of its own
	_, _ = w.Write(svg)
}

// plot draws a series as bars.
func plot(series []pointView, theme charts.ColorPalette) ([]byte, error) {
	accepted, denied, labels := make([]float64, 0, len(series)), make([]float64, 0, len(series)), make([]string, 0, len(series))
	for _, p := range series {
		accepted, denied, labels = append(accepted, float64(p.Accepted)), append(denied, float64(p.Denied)), append(labels, p.At.UTC().Format("15:04"))
	}
	opt := charts.NewBarChartOptionWithData([][]float64{accepted, denied})
	stacked := true
	opt.Theme, opt.StackSeries = theme, &stacked
	opt.Legend = charts.LegendOption{SeriesNames: []string{"accepted", "refused"}}
	opt.CategoryAxis.Labels, opt.CategoryAxis.LabelCount = labels, plotLabels
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: plotWidth, Height: plotHeight, Theme: theme})
	if err := painter.BarChart(opt); err != nil {
		return nil, err
	}
	return painter.Bytes()
}
