// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/manage"
)

const (
	marksPerSecond = 5 // writes of status.lastUsedTime, all keys together
	maxMarks       = 10_000
	warnsPerSecond = 1

	maxPoints     = 1500
	minutesBehind = 48 * time.Hour // then minutes are added up to hours
)

// NewRecorder returns a recorder for the doors and reasons of this server.
func NewRecorder() *activity.Recorder {
	names := make([]string, 0, doors)
	for d := range Door(doors) {
		names = append(names, d.String())
	}
	return activity.NewRecorder(denial.Names(), names)
}

// KeepActivity has the keeper tell the cluster what it finds: when keys were last used, and what is unusual.
// It works until ctx is done.
func (s *Server) KeepActivity(ctx context.Context) error {
	if s.Activity == nil {
		return nil
	}
	marks := make(chan mark, maxMarks)
	warnings := rate.NewLimiter(warnsPerSecond, 10*warnsPerSecond)
	seen := map[[16]byte]time.Time{} // when a key's last use was last looked at
	s.Activity.Used = func(k activity.KeyRef, at time.Time) {
		if at.Sub(seen[k.UID]) < manage.UsedInterval {
			return
		}
		select {
		case marks <- mark{k, at}:
			if len(seen) > 10*maxMarks {
				clear(seen)
			}
			seen[k.UID] = at
		default: // when it is used again
		}
	}
	s.Activity.Retiring = func(ctx context.Context, k activity.KeyRef) ([]activity.Retiring, error) {
		formers, err := s.Manage.PreviousTokens(ctx, k.Project, k.Name, uuid.UUID(k.UID).String())
		return retiring(formers), err
	}
	s.Activity.Notify = func(ctx context.Context, k activity.KeyRef, f activity.Finding) {
		s.Log.WarnContext(ctx, "unusual", "key", k.Project+"/"+k.Name, "pattern", f.Pattern, "finding", f.Sentence)
		if !warnings.Allow() {
			return
		}
		if err := s.Manage.Warn(ctx, k.Project, k.Name, uuid.UUID(k.UID).String(), string(f.Pattern), f.Sentence); err != nil {
			s.Log.WarnContext(ctx, "no Event of what is unusual", "error", err)
		}
	}
	go s.mark(ctx, marks)
	return s.Activity.Run(ctx)
}

// mark is that a key was used.
type mark struct {
	key activity.KeyRef
	at  time.Time
}

// mark writes when keys were last used, not faster than a cluster likes.
func (s *Server) mark(ctx context.Context, marks <-chan mark) {
	pace := rate.NewLimiter(marksPerSecond, marksPerSecond)
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-marks:
			if pace.Wait(ctx) != nil {
				return
			}
			if _, err := s.Manage.MarkUsed(ctx, m.key.Project, m.key.Name, uuid.UUID(m.key.UID).String(), m.at); err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "last use is not written", "error", err)
			}
		}
	}
}

func retiring(formers []manage.PreviousToken) []activity.Retiring {
	out := make([]activity.Retiring, 0, len(formers))
	for _, f := range formers {
		out = append(out, activity.Retiring{Credential: f.Credential, Since: f.Since, Until: f.Until})
	}
	return out
}

// Span says over which time activity is asked for.
type Span struct {
	Since time.Time `query:"since" doc:"Default: a day before until" example:"2026-11-22T00:00:00Z"`
	Until time.Time `query:"until" doc:"Default: now" example:"2026-11-23T00:00:00Z"`
	Step  string    `query:"step" enum:"minute,hour,day" default:"hour" doc:"minute: of the last two days only; older minutes are added up to hours"`
}

var steps = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

// bounds returns the range, on its steps.
func (q Span) bounds(now time.Time) (activity.Range, error) {
	r := activity.Range{Since: q.Since, Until: q.Until, Step: steps[q.Step]}
	if r.Until.IsZero() || r.Until.After(now) {
		r.Until = now
	}
	if r.Since.IsZero() {
		r.Since = r.Until.Add(-24 * time.Hour)
	}
	if !r.Since.Before(r.Until) {
		return r, &manage.Problem{Kind: manage.Invalid, Fields: []manage.Field{{Path: "since", Message: "must be before until"}}}
	}
	if r.Step == time.Minute && now.Sub(r.Since) > minutesBehind {
		return r, &manage.Problem{Kind: manage.Invalid, Fields: []manage.Field{{Path: "step", Message: "minutes are kept for two days: ask for hours or days"}}}
	}
	r.Since, r.Until = r.Since.UTC().Truncate(r.Step), r.Until.UTC().Add(r.Step-1).Truncate(r.Step)
	if r.Until.Sub(r.Since)/r.Step > maxPoints {
		return r, &manage.Problem{Kind: manage.Invalid, Fields: []manage.Field{{Path: "step", Message: fmt.Sprintf("more than %d steps: ask for longer ones, or a shorter time", maxPoints)}}}
	}
	return r, nil
}

// ActivityView is what a key, or all of a tenant's, were used for.
type ActivityView struct {
	Since       time.Time     `json:"since"`
	Until       time.Time     `json:"until"`
	Step        string        `json:"step" enum:"minute,hour,day"`
	Accepted    int64         `json:"accepted"`
	Denied      int64         `json:"denied"`
	LastUsedAt  *time.Time    `json:"lastUsedAt" doc:"Whenever that was; null: never, as far as is remembered"`
	Series      []pointView   `json:"series" doc:"Every step of the time"`
	Outcomes    []countedView `json:"outcomes" doc:"accepted, or why it was refused"`
	Doors       []countedView `json:"doors"`
	Networks    []countedView `json:"networks" doc:"At most 100, those with most requests first"`
	Credentials []countedView `json:"credentials" doc:"By id"`
}

type pointView struct {
	At       time.Time `json:"at"`
	Accepted int64     `json:"accepted"`
	Denied   int64     `json:"denied"`
}

type countedView struct {
	Name   string    `json:"name"`
	Count  int64     `json:"count"`
	LastAt time.Time `json:"lastAt"`
}

type keyActivityView struct {
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

// mountActivity mounts what keys were used for.
func (s *Server) mountActivity(api huma.API) {
	type input struct {
		KeyPath
		Span
	}
	huma.Register(api, operation("GET", "/api/keys/{project}/{name}/activity", "get-key-activity", "What a key was used for", "", authn.ReadActivity, 404), func(ctx context.Context, in *input) (*answer[keyActivityView], error) {
		v, err := s.keyActivity(ctx, caller(ctx), in.KeyPath, in.Span)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return &answer[keyActivityView]{v}, nil
	})
	huma.Register(api, operation("GET", "/api/admin/activity", "get-tenant-activity", "What all keys of the tenant were used for", "", authn.AdminActivity), func(ctx context.Context, in *Span) (*answer[tenantActivityView], error) {
		r, err := in.bounds(s.Manage.Now())
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		report, err := s.Activity.Store.Tenant(ctx, caller(ctx).Tenant, r)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		v := tenantActivityView{ActivityView: viewActivity(report, r, in.Step), Keys: []keyUseView{}}
		for _, k := range report.Keys {
			v.Keys = append(v.Keys, keyUseView{k.Project, k.Name, k.UID, k.Accepted, k.Denied, instant(k.LastUsed)})
		}
		return &answer[tenantActivityView]{v}, nil
	})
}

// keyActivity returns what a key that its reader may see was used for.
func (s *Server) keyActivity(ctx context.Context, reader authn.Principal, at KeyPath, span Span) (keyActivityView, error) {
	o, err := s.Manage.Get(ctx, reader, at.Project, at.Name)
	if err != nil {
		return keyActivityView{}, err
	}
	return s.activityOf(ctx, o, span)
}

// activityOf returns what a key was used for.
func (s *Server) activityOf(ctx context.Context, o *v1alpha1.ApiKey, span Span) (keyActivityView, error) {
	r, err := span.bounds(s.Manage.Now())
	if err != nil {
		return keyActivityView{}, err
	}
	report, err := s.Activity.Store.Key(ctx, string(o.UID), r)
	if err != nil {
		return keyActivityView{}, err
	}
	facts, err := s.Activity.Store.Facts(ctx, string(o.UID), s.Manage.Now())
	if err != nil {
		return keyActivityView{}, err
	}
	facts.Retiring = retiring(manage.PreviousTokensOf(o))
	v := keyActivityView{ActivityView: viewActivity(report, r, span.Step), Unusual: []unusualView{}}
	for _, f := range activity.Anomalies(facts) {
		v.Unusual = append(v.Unusual, unusualView{string(f.Pattern), f.Sentence, f.At})
	}
	return v, nil
}

func viewActivity(a activity.Report, r activity.Range, step string) ActivityView {
	v := ActivityView{Since: r.Since, Until: r.Until, Step: step, Accepted: a.Accepted, Denied: a.Denied, LastUsedAt: instant(a.LastUsed),
		Outcomes: counted(a.Outcomes, "accepted"), Doors: counted(a.Doors, ""), Networks: counted(a.Networks, "unknown"), Credentials: counted(a.Credentials, "")}
	found := map[int64]activity.Point{}
	for _, p := range a.Series {
		found[p.At.Unix()] = p
	}
	for at := r.Since; at.Before(r.Until); at = at.Add(r.Step) {
		p := found[at.Unix()]
		v.Series = append(v.Series, pointView{at, p.Accepted, p.Denied})
	}
	return v
}

func counted(in []activity.Counted, unnamed string) []countedView {
	out := make([]countedView, 0, len(in))
	for _, c := range in {
		if c.Name == "" {
			c.Name = unnamed
		}
		out = append(out, countedView{c.Name, c.Count, c.Last})
	}
	return out
}
