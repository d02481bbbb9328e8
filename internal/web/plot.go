// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/go-analyze/charts"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/rest"
)

const (
	plotWidth, plotHeight = 960, 260
	narrowWidth           = 420
	hoursLabelled         = 4 // steps between two labels
)

// themes are the colours of plots, which are those of the page.
var themes = map[string]charts.ColorPalette{
	"light": charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: charts.ParseColor("#d5dae0"), AxisSplitLineColor: charts.ParseColor("#e6e9ed"),
		BackgroundColor: charts.ParseColor("#ffffff"), TextColor: charts.ParseColor("#59636e"),
		SeriesColors: []charts.Color{charts.ParseColor("#1f5fbf"), charts.ParseColor("#c4453c")},
	}),
	"dark": charts.MakeTheme(charts.ThemeOption{
		IsDarkMode:      true,
		AxisStrokeColor: charts.ParseColor("#343b43"), AxisSplitLineColor: charts.ParseColor("#2b3138"),
		BackgroundColor: charts.ParseColor("#181c20"), TextColor: charts.ParseColor("#a3adb8"),
		SeriesColors: []charts.Color{charts.ParseColor("#8ab8ff"), charts.ParseColor("#ff9d94")},
	}),
}

// showPlot draws the requests of a key over the last day, in the colours of the page.
func (s *Pages) showPlot(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	name, narrow := strings.CutPrefix(strings.TrimSuffix(r.PathValue("plot"), ".svg"), "narrow-")
	theme, width := themes[name], plotWidth
	if narrow {
		width = narrowWidth
	}
	if s.API.Activity == nil || theme == nil {
		http.Error(w, "There is no such plot", http.StatusNotFound)
		return
	}
	at := rest.KeyPath{Project: r.PathValue("project"), Name: r.PathValue("name")}
	v, err := s.API.KeyActivity(r.Context(), p, at, rest.Span{Step: "hour"})
	if err != nil {
		http.Error(w, "There is no such plot", http.StatusNotFound)
		return
	}
	svg, err := plot(v.Series, theme, width)
	if err != nil {
		s.Log.ErrorContext(r.Context(), "draw plot", "error", err)
		http.Error(w, "The plot cannot be drawn", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'") // SVG is a document
	_, _ = w.Write(svg)
}

// plot draws a series as bars.
func plot(series []rest.PointView, theme charts.ColorPalette, width int) ([]byte, error) {
	var accepted, denied []float64
	var labels []string
	var most int64
	for _, p := range series {
		accepted, denied = append(accepted, float64(p.Accepted)), append(denied, float64(p.Denied))
		labels = append(labels, p.At.UTC().Format("15h"))
		most = max(most, p.Accepted+p.Denied)
	}
	opt := charts.NewBarChartOptionWithData([][]float64{accepted, denied})
	stacked := true
	opt.Theme, opt.StackSeries = theme, &stacked
	opt.Legend = charts.LegendOption{SeriesNames: []string{"accepted", "refused"}}
	opt.CategoryAxis.Labels, opt.CategoryAxis.Unit = labels, hoursLabelled
	opt.ValueFormatter = func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	zero, top := 0.0, float64((most+3)/4*4) // four steps of whole requests
	opt.ValueAxis[0].Min, opt.ValueAxis[0].Max, opt.ValueAxis[0].LabelCount = &zero, &top, 5
	painter := charts.NewPainter(charts.PainterOptions{
		OutputFormat: charts.ChartOutputSVG, Width: width, Height: plotHeight, Theme: theme,
	})
	if err := painter.BarChart(opt); err != nil {
		return nil, err
	}
	return painter.Bytes()
}
