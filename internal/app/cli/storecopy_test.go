package cli

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"postseal/store"
)

// TestOnceStopped: a copy waits for a daemon that was just stopped, says so once, and gives up on one that continues to write.
func TestOnceStopped(t *testing.T) {
	other := errors.New("other")
	for _, c := range []struct {
		name  string
		stops time.Duration
		err   error
		want  error
		took  time.Duration
	}{
		{"stopped long ago", 0, nil, nil, 0},
		{"just stopped", 25 * time.Second, nil, nil, 25 * time.Second},
		{"another error", 0, other, other, 0},
		{"another error later", 5 * time.Second, other, other, 5 * time.Second},
		{"continues", time.Hour, nil, store.ErrInUse, stopTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := storeCommands{&app{stderr: io.Discard}}.onceStopped(t.Context(), func() error {
					if time.Since(began) < c.stops {
						return store.ErrInUse
					}
					return c.err
				})
				if took := time.Since(began); !errors.Is(err, c.want) || took != c.took {
					t.Errorf("%v after %v, want %v after %v", err, took, c.want, c.took)
				}
			})
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := (storeCommands{&app{stderr: io.Discard}}).onceStopped(ctx, func() error { return store.ErrInUse }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
