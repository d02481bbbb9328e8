// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

const (
	pollInterval = 250 * time.Millisecond
	unobserved   = "the controller has not acted on it yet; check that it is running"
)

// wait are the flags --wait and --timeout.
type wait struct {
	on      bool
	timeout time.Duration
}

func (w *wait) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.on, "wait", false, "wait until the controller has acted on the change")
	cmd.Flags().DurationVar(&w.timeout, "timeout", time.Minute, "how long --wait waits")
}

func (w *wait) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("timeout") && !w.on {
		return exit{exitUsage, errors.New("--timeout has no effect without --wait: add --wait")}
	}
	return nil
}

// goal reports what an ApiKey still lacks, and an empty string when the goal is reached.
type goal func(*v1alpha1.ApiKey) (missing string)

// until waits for the goal if --wait is set, and updates o to what was observed last.
func (w *wait) until(ctx context.Context, k8s client.Client, o *v1alpha1.ApiKey, reached goal) error {
	if !w.on {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	missing := "the API server did not answer"
	for {
		var observed v1alpha1.ApiKey
		err := k8s.Get(limited, client.ObjectKeyFromObject(o), &observed)
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("wait for %s: it was deleted", o.Name)
		}
		if err == nil {
			observed.DeepCopyInto(o)
			if missing = reached(o); missing == "" {
				return nil
			}
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("wait for %s: interrupted", o.Name)
			}
			return exit{exitTimedOut, fmt.Errorf("waited %s for %s: %s", w.timeout, o.Name, missing)}
		case <-time.After(pollInterval):
		}
	}
}

// inForce is the goal that the desired state is in force, for one of these reasons; without reasons, for any.
func inForce(reasons ...string) goal {
	return func(o *v1alpha1.ApiKey) string {
		if missing := conditionTrue(o, v1alpha1.ConditionReady); missing != "" {
			return missing
		}
		ready := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady)
		if len(reasons) > 0 && !slices.Contains(reasons, ready.Reason) {
			return describeCondition(ready)
		}
		return ""
	}
}

// usable is the goal that the desired state is in force and at least one token works.
func usable(o *v1alpha1.ApiKey) string {
	if missing := inForce()(o); missing != "" {
		return missing
	}
	return conditionTrue(o, v1alpha1.ConditionAccepted)
}

// rotated is the goal that a rotation request has been acted on: the new token is delivered and the key is usable.
func rotated(request string) goal {
	pending := func(c v1alpha1.Credential) bool { return c.Phase == v1alpha1.CredentialPending }
	return func(o *v1alpha1.ApiKey) string {
		handled := o.Status.LastHandledRotateRequest == request || o.Status.EarlierRotateRequest == request
		switch {
		case handled && slices.ContainsFunc(o.Status.Credentials, pending):
			return "the new token is not delivered yet"
		case handled:
			return usable(o)
		}
		ready := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Status != metav1.ConditionTrue { // says why nothing is issued
			return describeCondition(ready)
		}
		return unobserved
	}
}

// secretDeleted is the goal that the desired state is in force and the Secret of the key is deleted. A user who may not
// read Secrets relies on the condition: a revoked key is not Ready before its Secret is deleted.
func secretDeleted(ctx context.Context, k8s client.Reader, state goal) goal {
	return func(o *v1alpha1.ApiKey) string {
		missing := state(o)
		if missing != "" || o.Status.SecretName == "" {
			return missing
		}
		switch exists, err := ownsSecret(ctx, k8s, o); {
		case apierrors.IsForbidden(err):
			return ""
		case err != nil:
			return fmt.Sprintf("cannot check that Secret %s is deleted: %v", o.Status.SecretName, err)
		case exists:
			return fmt.Sprintf("Secret %s is not deleted yet", o.Status.SecretName)
		}
		return ""
	}
}

// conditionTrue returns what a condition of the current generation reports unless it is True.
func conditionTrue(o *v1alpha1.ApiKey, kind string) string {
	c := meta.FindStatusCondition(o.Status.Conditions, kind)
	switch {
	case c == nil, c.ObservedGeneration < o.Generation:
		return unobserved
	case c.Status != metav1.ConditionTrue:
		return describeCondition(c)
	}
	return ""
}

func describeCondition(c *metav1.Condition) string {
	return fmt.Sprintf("%s is %s (%s): %s", c.Type, c.Status, c.Reason, c.Message)
}
