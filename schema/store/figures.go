package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Figures say how much there is of what the database holds.
type Figures struct {
	Sessions  []SessionCount
	Steps     map[schema.StepStatus]int // of the runs that are under way, without those of deleted sessions
	Approvals map[schema.ApprovalType]int
	Oldest    time.Duration // for which the approval has waited that waits longest
}

// SessionCount is how many sessions are alike; those that were deleted do not count.
type SessionCount struct {
	Status schema.SessionStatus
	Phase  schema.Phase
	Mode   schema.Mode
	Count  int
}

// Figures counts.
func (s *Store) Figures(ctx context.Context) (Figures, error) {
	f := Figures{Steps: map[schema.StepStatus]int{}, Approvals: map[schema.ApprovalType]int{}}
	b := &pgx.Batch{}
	b.Queue(`SELECT t.status, t.current_phase, s.mode, count(*) FROM sessions s JOIN session_states t ON t.session_id = s.id
		WHERE s.deleted_at IS NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`).
		Query(func(rows pgx.Rows) (err error) {
			f.Sessions, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c SessionCount, err error) {
				return c, row.Scan(&c.Status, &c.Phase, &c.Mode, &c.Count)
			})
			return err
		})
	b.Queue(`SELECT st.status, count(*) FROM session_states t JOIN sessions s ON s.id = t.session_id AND s.deleted_at IS NULL
		  JOIN runs r ON r.session_id = t.session_id AND r.finished_at IS NULL
		  JOIN steps st ON st.run_id = r.id WHERE t.status IN ('active', 'suspended') GROUP BY 1`).
		Query(func(rows pgx.Rows) error {
			var (
				status string
				count  int
			)
			_, err := pgx.ForEachRow(rows, []any{&status, &count}, func() error {
				f.Steps[schema.StepStatus(status)] = count
				return nil
			})
			return err
		})
	b.Queue(`SELECT a.approval_type, count(*), extract(epoch FROM clock_timestamp() - min(a.created_at))
		  FROM approval_requests a JOIN sessions s ON s.id = a.session_id
		 WHERE a.status = 'pending' AND s.deleted_at IS NULL GROUP BY 1`).
		Query(func(rows pgx.Rows) error {
			var (
				kind  string
				count int
				age   float64
			)
			_, err := pgx.ForEachRow(rows, []any{&kind, &count, &age}, func() error {
				f.Approvals[schema.ApprovalType(kind)] = count
				f.Oldest = max(f.Oldest, time.Duration(age*float64(time.Second)))
				return nil
			})
			return err
		})
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return Figures{}, failed("count what there is", err)
	}
	return f, nil
}
