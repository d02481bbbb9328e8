// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

const lookAgain = 250 * time.Millisecond

// wait are the flags --wait and --timeout.
type wait struct {
	on      bool
	timeout time.Duration
}

func (w *wait) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.on, "wait", false, "until it is done")
	cmd.Flags().DurationVar(&w.timeout, "timeout", time.Minute, "of --wait")
}

func (w *wait) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("timeout") && !w.on {
		return exit{exitUsage, errors.New("--timeout goes with --wait")}
	}
	return nil
}

// goal reports whether an ApiKey has come to where it is to be, and if not, what is missing.
type goal func(*v1alpha1.ApiKey) (missing string, there bool)

// until waits, if it was asked to, and leaves the ApiKey as it was seen last.
func (w *wait) until(ctx context.Context, k8s client.Client, o *v1alpha1.ApiKey, there goal) error {
	if !w.on {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	missing := "nothing was heard of it"
	for {
		var now v1alpha1.ApiKey
		err := k8s.Get(limited, client.ObjectKeyFromObject(o), &now)
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("wait for %s: it was deleted", o.Name)
		}
		if err == nil {
			now.DeepCopyInto(o)
			var done bool
			if missing, done = there(o); done {
				return nil
			}
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("wait for %s: interrupted", o.Name)
			}
			return exit{exitWaited, fmt.Errorf("waited %s for %s: %s", w.timeout, o.Name, missing)}
		case <-time.After(lookAgain):
		}
	}
}

func condition(o *v1alpha1.ApiKey, kind string) *metav1.Condition {
	for i := range o.Status.Conditions {
		if o.Status.Conditions[i].Type == kind {
			return &o.Status.Conditions[i]
		}
	}
	return nil
}

// ready is that the operator says that the key works, as it is now.
func ready(o *v1alpha1.ApiKey) (string, bool) { return settled(o, metav1.ConditionTrue) }

// notReady is that the operator has taken note that it does not.
func notReady(o *v1alpha1.ApiKey) (string, bool) { return settled(o, metav1.ConditionFalse) }

func settled(o *v1alpha1.ApiKey, want metav1.ConditionStatus) (string, bool) {
	c := condition(o, "Ready")
	switch {
	case c == nil || o.Status.ObservedGeneration < o.Generation:
		return "the controller has not looked at it yet; is it running?", false
	case c.Status != want:
		return c.Reason + ": " + c.Message, false
	}
	return "", true
}

// rotated is that a request to rotate has been acted on.
func rotated(request string) goal {
	return func(o *v1alpha1.ApiKey) (string, bool) {
		if o.Status.LastHandledRotateRequest != request {
			if c := condition(o, "Rotating"); c != nil && c.Status == metav1.ConditionTrue {
				return c.Reason + ": " + c.Message, false
			}
			return "the controller has not acted on it yet; is it running?", false
		}
		return ready(o)
	}
}
