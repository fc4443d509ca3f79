package store

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// BindKey binds a key to one request, identified by the digest. If the key is bound to another request, the call fails
// with [schema.CodeConflict].
func (s *Store) BindKey(ctx context.Context, key, digest string) error {
	var bound string
	// A row that another call has just committed is invisible to the first part, and a plain insert would not return
	// it. The update, which changes nothing, does.
	err := s.pool.QueryRow(ctx, `WITH known AS (SELECT digest FROM request_keys WHERE key = $1),
		made AS (INSERT INTO request_keys AS k (key, digest) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM known)
			ON CONFLICT (key) DO UPDATE SET digest = k.digest RETURNING k.digest)
		SELECT digest FROM known UNION ALL SELECT digest FROM made`, clean(key), digest).Scan(&bound)
	if err != nil {
		return failed("keep an idempotency key", err)
	}
	if bound != digest {
		return schema.Errorf(schema.CodeConflict, "this Idempotency-Key or request_id was used for another request; use a new one for each request")
	}
	return nil
}

// ForgetKeys removes keys that were last used longer ago than age, at most limit of them, and returns how
// many.
func (s *Store) ForgetKeys(ctx context.Context, age time.Duration, limit int) (int, error) {
	done, err := s.pool.Exec(ctx, `DELETE FROM request_keys WHERE key IN (
		SELECT key FROM request_keys WHERE used_at < now() - make_interval(secs => $1) ORDER BY used_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, age.Seconds(), limit)
	return int(done.RowsAffected()), failed("forget idempotency keys", err)
}
