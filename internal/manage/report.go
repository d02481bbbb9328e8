// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/activity"
)

const (
	marksPerSecond    = 5      // writes of status.lastUsedTime, for all keys together
	maxMarks          = 10_000 // writes that wait
	warningsPerSecond = 1
)

// Reporter reports to the cluster what the activity keeper finds: it writes status.lastUsedTime of keys that were used
// and creates an Event for each anomaly.
type Reporter struct {
	Service *Service
	Log     *slog.Logger

	marks chan mark
}

// mark is a pending write of status.lastUsedTime.
type mark struct {
	key activity.KeyRef
	at  time.Time
}

// Run runs the keeper and reports what it finds until ctx is done. Then the keeper writes what it has counted.
func (r *Reporter) Run(ctx context.Context, k *activity.Keeper) error {
	r.marks = make(chan mark, maxMarks)
	k.Used = r.used()
	k.Retiring = func(ctx context.Context, key activity.KeyRef) ([]activity.Retiring, error) {
		tokens, err := r.Service.PreviousTokens(ctx, key.Project, key.Name, uuid.UUID(key.UID).String())
		return Retiring(tokens), err
	}
	k.Notify = r.warn()
	go r.write(ctx)
	return k.Run(ctx)
}

// used returns a function that adds a key to the pending writes, at most once in UsedInterval. It never blocks: if
// there are too many pending writes, the key is added when it is used again.
func (r *Reporter) used() func(activity.KeyRef, time.Time) {
	added := map[[16]byte]time.Time{} // by UID
	return func(k activity.KeyRef, at time.Time) {
		if at.Sub(added[k.UID]) < UsedInterval {
			return
		}
		select {
		case r.marks <- mark{k, at}:
			if len(added) > 10*maxMarks {
				clear(added)
			}
			added[k.UID] = at
		default:
		}
	}
}

// write writes status.lastUsedTime of the pending keys, slowly enough for the API server.
func (r *Reporter) write(ctx context.Context) {
	pace := rate.NewLimiter(marksPerSecond, marksPerSecond)
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-r.marks:
			if pace.Wait(ctx) != nil {
				return
			}
			_, err := r.Service.MarkUsed(ctx, m.key.Project, m.key.Name, uuid.UUID(m.key.UID).String(), m.at)
			if err != nil && ctx.Err() == nil {
				r.Log.WarnContext(ctx, "cannot write status.lastUsedTime", "error", err)
			}
		}
	}
}

// warn returns a function that logs an anomaly and creates an Event for it. The number of Events per second is limited.
func (r *Reporter) warn() func(context.Context, activity.KeyRef, activity.Finding) {
	limit := rate.NewLimiter(warningsPerSecond, 10*warningsPerSecond)
	return func(ctx context.Context, k activity.KeyRef, f activity.Finding) {
		key := k.Project + "/" + k.Name
		r.Log.WarnContext(ctx, "unusual", "key", key, "pattern", f.Pattern, "finding", f.Sentence)
		if !limit.AllowN(r.Service.Now(), 1) {
			return
		}
		uid := uuid.UUID(k.UID).String()
		if err := r.Service.Warn(ctx, k.Project, k.Name, uid, string(f.Pattern), f.Sentence); err != nil {
			r.Log.WarnContext(ctx, "cannot create the Event of an anomaly", "key", key, "error", err)
		}
	}
}

// Retiring converts the previous tokens of a key for package activity.
func Retiring(tokens []PreviousToken) []activity.Retiring {
	out := make([]activity.Retiring, 0, len(tokens))
	for _, t := range tokens {
		out = append(out, activity.Retiring{Credential: t.Credential, Since: t.Since, Until: t.Until})
	}
	return out
}
