// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/manage"
)

const (
	maxPoints     = 1500
	minutesBehind = 48 * time.Hour // older minutes are combined to hours
)

// Span is the time for which activity is requested.
type Span struct {
	Since time.Time `query:"since" doc:"Default: a day before until" example:"2026-11-22T00:00:00Z"`
	Until time.Time `query:"until" doc:"Default: now" example:"2026-11-23T00:00:00Z"`
	Step  string    `query:"step" enum:"minute,hour,day" default:"hour" doc:"minute: of the last two days only"`
}

var steps = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

// bounds returns the span as a range that begins and ends at a step.
func (q Span) bounds(now time.Time) (activity.Range, error) {
	r := activity.Range{Since: q.Since, Until: q.Until, Step: steps[q.Step]}
	if r.Until.IsZero() || r.Until.After(now) {
		r.Until = now
	}
	if r.Since.IsZero() {
		r.Since = r.Until.Add(-24 * time.Hour)
	}
	if !r.Since.Before(r.Until) {
		return r, invalid("since", "must be before until")
	}
	if r.Step == time.Minute && now.Sub(r.Since) > minutesBehind {
		return r, invalid("step", "minutes are kept for two days: ask for hours or days")
	}
	r.Since, r.Until = r.Since.UTC().Truncate(r.Step), r.Until.UTC().Add(r.Step-1).Truncate(r.Step)
	if r.Until.Sub(r.Since)/r.Step > maxPoints {
		return r, invalid("step", fmt.Sprintf("more than %d steps: ask for longer ones, or a shorter time", maxPoints))
	}
	return r, nil
}

// ActivityView is the use of a key, or of all keys of a tenant.
type ActivityView struct {
	Since       time.Time     `json:"since"`
	Until       time.Time     `json:"until"`
	Step        string        `json:"step" enum:"minute,hour,day"`
	Accepted    int64         `json:"accepted"`
	Denied      int64         `json:"denied"`
	LastUsedAt  *time.Time    `json:"lastUsedAt" doc:"At any time; null: no use is recorded"`
	Series      []PointView   `json:"series" doc:"Every step of the time"`
	Outcomes    []CountedView `json:"outcomes" doc:"accepted, or why it was refused"`
	Doors       []CountedView `json:"doors"`
	Networks    []CountedView `json:"networks" doc:"At most 100, those with most requests first"`
	Credentials []CountedView `json:"credentials" doc:"By id"`
}

// PointView is the number of requests in one step.
type PointView struct {
	At       time.Time `json:"at"`
	Accepted int64     `json:"accepted"`
	Denied   int64     `json:"denied"`
}

// CountedView is the number of requests with one property.
type CountedView struct {
	Name   string    `json:"name"`
	Count  int64     `json:"count"`
	LastAt time.Time `json:"lastAt"`
}

// KeyActivityView is the use of a key, and its anomalies.
type KeyActivityView struct {
	ActivityView
	Unusual []unusualView `json:"unusual" doc:"What a person should look at, most urgent first"`
}

type unusualView struct {
	Pattern  string    `json:"pattern" enum:"NewNetwork,Burst,Failures,WokeUp,DeadToken,RetiringInUse"`
	Sentence string    `json:"sentence"`
	At       time.Time `json:"at"`
}

type tenantActivityView struct {
	ActivityView
	Keys []keyUseView `json:"keys" doc:"At most 100, those with most requests first"`
}

type keyUseView struct {
	Project    string     `json:"project"`
	Name       string     `json:"name"`
	ID         string     `json:"id"`
	Accepted   int64      `json:"accepted"`
	Denied     int64      `json:"denied"`
	LastUsedAt *time.Time `json:"lastUsedAt" doc:"Within the time asked for"`
}

type keyActivityInput struct {
	KeyPath
	Span
}

// registerActivity registers the operations on key usage.
func (a *API) registerActivity(api huma.API) {
	huma.Register(api, operation("GET", "/api/keys/{project}/{name}/activity", "get-key-activity",
		"What a key was used for", "", authn.ReadActivity, 404), a.getKeyActivity)
	huma.Register(api, operation("GET", "/api/admin/activity", "get-tenant-activity",
		"What all keys of the tenant were used for", "", authn.AdminActivity), a.getTenantActivity)
}

func (a *API) getKeyActivity(ctx context.Context, in *keyActivityInput) (*answer[KeyActivityView], error) {
	v, err := a.KeyActivity(ctx, caller(ctx), in.KeyPath, in.Span)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[KeyActivityView]{v}, nil
}

func (a *API) getTenantActivity(ctx context.Context, in *Span) (*answer[tenantActivityView], error) {
	r, err := in.bounds(a.Now())
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	report, err := a.Activity.Tenant(ctx, caller(ctx).Tenant, r)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	v := tenantActivityView{ActivityView: viewActivity(report, r, in.Step), Keys: []keyUseView{}}
	for _, k := range report.Keys {
		v.Keys = append(v.Keys, keyUseView{k.Project, k.Name, k.UID, k.Accepted, k.Denied, instant(k.LastUsed)})
	}
	return &answer[tenantActivityView]{v}, nil
}

// KeyActivity returns the use of a key that the reader may see.
func (a *API) KeyActivity(
	ctx context.Context,
	reader authn.Principal,
	at KeyPath,
	span Span,
) (KeyActivityView, error) {
	o, err := a.Manage.Get(ctx, reader, at.Project, at.Name)
	if err != nil {
		return KeyActivityView{}, err
	}
	return a.ActivityOf(ctx, o, span)
}

// ActivityOf returns the use of a key.
func (a *API) ActivityOf(ctx context.Context, o *v1alpha1.ApiKey, span Span) (KeyActivityView, error) {
	r, err := span.bounds(a.Now())
	if err != nil {
		return KeyActivityView{}, err
	}
	report, err := a.Activity.Key(ctx, string(o.UID), r)
	if err != nil {
		return KeyActivityView{}, err
	}
	facts, err := a.Activity.Facts(ctx, string(o.UID), a.Now())
	if err != nil {
		return KeyActivityView{}, err
	}
	facts.Retiring = manage.Retiring(manage.PreviousTokensOf(o))
	v := KeyActivityView{ActivityView: viewActivity(report, r, span.Step), Unusual: []unusualView{}}
	for _, f := range activity.Anomalies(facts) {
		v.Unusual = append(v.Unusual, unusualView{string(f.Pattern), f.Sentence, f.At})
	}
	return v, nil
}

func viewActivity(report activity.Report, r activity.Range, step string) ActivityView {
	v := ActivityView{
		Since: r.Since, Until: r.Until, Step: step,
		Accepted: report.Accepted, Denied: report.Denied, LastUsedAt: instant(report.LastUsed),
		Outcomes: counted(report.Outcomes, "accepted"), Doors: counted(report.Doors, ""),
		Networks: counted(report.Networks, "unknown"), Credentials: counted(report.Credentials, ""),
	}
	found := map[int64]activity.Point{}
	for _, p := range report.Series {
		found[p.At.Unix()] = p
	}
	for at := r.Since; at.Before(r.Until); at = at.Add(r.Step) {
		p := found[at.Unix()]
		v.Series = append(v.Series, PointView{at, p.Accepted, p.Denied})
	}
	return v
}

func counted(in []activity.Counted, unnamed string) []CountedView {
	out := make([]CountedView, 0, len(in))
	for _, c := range in {
		if c.Name == "" {
			c.Name = unnamed
		}
		out = append(out, CountedView{c.Name, c.Count, c.Last})
	}
	return out
}
