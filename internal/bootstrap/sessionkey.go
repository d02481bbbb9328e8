// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// SessionKeyName is the key of the Secret that holds the session key.
	SessionKeyName = "session-key"

	sessionKeySize = 32 // bytes, of AES-256
)

// SessionKey creates the key that encrypts the sessions of the web interface, once. Deleting the Secret signs everyone
// out at the next server restart.
type SessionKey struct {
	Client  client.Writer
	Live    client.Reader
	Secret  client.ObjectKey
	Entropy io.Reader // cryptographically random
	Log     *slog.Logger
}

// NeedLeaderElection reports that only the leader creates the key.
func (*SessionKey) NeedLeaderElection() bool { return true }

// Start creates the key whenever it is missing, until ctx is done. It logs errors and retries.
func (k *SessionKey) Start(ctx context.Context) error {
	for {
		pause := checkEvery
		if err := k.ensure(ctx); err != nil && ctx.Err() == nil && !apierrors.IsAlreadyExists(err) {
			if !errors.Is(err, errForeign) { // only an admin can resolve that
				pause = retryAfter
			}
			k.Log.WarnContext(ctx, "session key", "secret", k.Secret.Name, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (k *SessionKey) ensure(ctx context.Context) error {
	secret, err := kept(ctx, k.Live, k.Secret)
	if err != nil || len(secret.Data[SessionKeyName]) == sessionKeySize {
		return err
	}
	key := make([]byte, sessionKeySize)
	if _, err := io.ReadFull(k.Entropy, key); err != nil {
		return fmt.Errorf("draw session key: %w", err)
	}
	secret.Data = map[string][]byte{SessionKeyName: key}
	return keep(ctx, k.Client, secret)
}
