// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/rest"
)

//go:embed pages
var pageFiles embed.FS

// functions are those that the templates call.
var functions = template.FuncMap{
	"words": strings.Fields, "join": strings.Join, "lower": strings.ToLower,
	"pair": listOfCounts, "when": when, "ago": ago,
}

// templates are the pages. Each is a file that is combined with the layout.
var templates = func() map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, name := range []string{"list", "new", "created", "key", "confirm", "signin", "problem"} {
		layout := template.New("layout.html").Funcs(functions)
		out[name] = template.Must(layout.ParseFS(pageFiles, "pages/layout.html", "pages/"+name+".html"))
	}
	return out
}()

// screen is what every page shows.
type screen struct {
	Title  string
	User   *rest.User
	Tenant string
	Admin  bool
	Path   string
	Now    time.Time
	Data   any
}

// of adds the signed-in user.
func (v screen) of(p authn.Principal) screen {
	user := rest.NewUser(p)
	v.User, v.Tenant, v.Admin = &user, p.Tenant, p.Role == authn.Admin
	return v
}

// show writes a page.
func (s *Pages) show(w http.ResponseWriter, r *http.Request, status int, name string, v screen) {
	v.Path, v.Now = r.URL.Path, s.Now()
	var out bytes.Buffer
	if err := templates[name].Execute(&out, v); err != nil {
		s.Log.ErrorContext(r.Context(), "show page", "page", name, "error", err)
		http.Error(w, "Something went wrong", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}

// showProblem writes a page that explains a problem to a user who may not be signed in.
func (s *Pages) showProblem(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	s.show(w, r, status, "problem", screen{Title: title, Data: text})
}

// showError writes a page that explains an error of manage.Service.
func (s *Pages) showError(w http.ResponseWriter, r *http.Request, p authn.Principal, err error) {
	status, title, text := s.API.Explain(r.Context(), err)
	s.show(w, r, status, "problem", screen{Title: title, Data: text}.of(p))
}

// counts is a list of counts with a name, and the highest count.
type counts struct {
	Name  string
	Items []rest.CountedView
	Most  int64
}

func listOfCounts(name string, items []rest.CountedView) counts {
	const few = 8
	c := counts{Name: name, Items: items[:min(few, len(items))]}
	for _, i := range items {
		c.Most = max(c.Most, i.Count)
	}
	return c
}

// when formats an instant. A script in the page converts it to the reader's time zone.
func when(at any) template.HTML {
	var t time.Time
	switch v := at.(type) {
	case time.Time:
		t = v
	case *time.Time:
		if v != nil {
			t = *v
		}
	}
	if t.IsZero() {
		return "—"
	}
	u := t.UTC()
	text := `<time datetime="` + u.Format(time.RFC3339) + `">` + u.Format("2 Jan 2006 15:04") + ` UTC</time>`
	return template.HTML(text) //nolint:gosec // digits and fixed words
}

// ago formats the time since an instant, or until it, in one unit.
func ago(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return "never"
	}
	d, form := now.Sub(*t), "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	return strings.Replace(form, "%s", roughly(d), 1)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func roughly(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{365 * day, "year"}, {30 * day, "month"}, {day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}}
	for _, u := range units {
		if n := int(d / u.size); n > 0 {
			return plural(n, u.name)
		}
	}
	return "moments"
}
