package control

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web/caller"
)

// How long a key is remembered, and how often those that are older are forgotten.
const (
	keyAge        = 7 * 24 * time.Hour
	keySweep      = time.Minute
	keySweepBatch = 10_000
)

// Bind has a key stand for one request: what is asked, of what, by whom and with which content. Sent again, it is the same
// request; another one under it is a conflict. Without a key nothing is bound.
func (s *Service) Bind(ctx context.Context, key, command, target string, arg any) error {
	if key == "" {
		return nil
	}
	digest := schema.DeriveID("request", command, target, caller.User(ctx), string(schema.Marshal(arg)))
	return s.store.BindKey(ctx, key, digest)
}

// forgetKeys forgets old keys until ctx ends. Any number of instances may.
func (s *Service) forgetKeys(ctx context.Context) {
	for wait.For(ctx, keySweep); ctx.Err() == nil; wait.For(ctx, keySweep) {
		_, _ = s.store.ForgetKeys(ctx, keyAge, keySweepBatch) // else the next time
	}
}
