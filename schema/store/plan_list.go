package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// PlanDigests lists the digests of every plan that a session has had, oldest first; see
// [Store.SavedPlan].
func (s *Store) PlanDigests(ctx context.Context, sessionID string) ([]string, error) {
	if _, err := s.HeadSeq(ctx, sessionID); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `SELECT digest FROM plans WHERE session_id = $1 ORDER BY created_at, digest`, sessionID)
	if err != nil {
		return nil, failed("list plans", err)
	}
	digests, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return digests, failed("list plans", err)
}

// SavedPlan reads a plan that a session has had. Any other is [schema.CodeNotFound].
func (s *Store) SavedPlan(ctx context.Context, sessionID, digest string) (schema.SavedPlan, error) {
	p := schema.SavedPlan{Digest: digest}
	if !schema.ValidID(sessionID) {
		return p, noSession(sessionID)
	}
	var text []byte
	err := s.pool.QueryRow(ctx, `SELECT plan::text, created_at FROM plans WHERE session_id = $1 AND digest = $2`, sessionID, digest).
		Scan(&text, &p.CreatedAt.Time)
	if err != nil {
		return p, failed("read a plan", notFoundIfNoRows(err, schema.Errorf(schema.CodeNotFound, "session %q has had no plan %q", sessionID, digest)))
	}
	p.CreatedAt = timeOf(p.CreatedAt.Time)
	p.Plan, err = decodePlan(text)
	return p, err
}
