package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// BeginAttempt begins an attempt at a step, or finds the one that has already begun.
type BeginAttempt struct {
	SessionID string
	RunID     string
	StepID    string
	Execution string // names one execution by the workflow; it stays the same when Temporal retries the activity
	Host      string
	Command   []string
	Reason    schema.Reason // retry when it follows a failure, or ""
	// Live is the attempt of this execution whose processes or output the caller has; 0 for none.
	// Worker names the caller if it comes back to them after another worker was lost.
	Live   int
	Worker string
	// Lost says why an attempt that runs without the caller is lost: "" means worker_lost, and an
	// attempt on another host is host_lost.
	Lost schema.Reason
}

// BegunAttempt is the answer. Finished is nil if the attempt with this number is to be run or to go
// on; otherwise this execution is over and must not run again.
type BegunAttempt struct {
	Number      int
	Finished    *AttemptEnd
	SpoolOffset int64 // how much of the attempt's output has been recorded
}

// AttemptEnd says how an attempt ended.
type AttemptEnd struct {
	Status      schema.AttemptStatus
	ExitCode    *int
	Signal      string
	Reason      schema.Reason
	Message     string
	CPUSeconds  float64
	MaxRSSBytes int64
	DurationMS  int64
	ReadBytes   int64
	WriteBytes  int64
}

// begun is an attempt as stored in its row.
type begun struct {
	number    int
	execution string
	host      string
	offset    int64
	started   time.Time
	end       AttemptEnd
}

// BeginAttempt decides, under the session's lock, what an execution has to do:
//
//   - its attempt has ended: it is returned as Finished, and nothing changes;
//   - its attempt runs, and the caller has it (Live): it goes on. Nothing changes, except that
//     step_reattached is added once for each worker that is named;
//   - the caller's attempt was closed as lost when another host took over: it must not go on. The
//     answer is the number of the attempt that replaced it, and nothing changes;
//   - its attempt runs, and the caller does not have it: it is lost. The attempt is closed with
//     step_failed {worker_lost, host_lost or the caller's reason}, and the next one begins, with
//     step_retry_started for the same reason. So is a running attempt of another execution;
//   - else the next attempt begins, with step_retry_started when Reason is retry.
//
// When an attempt begins, the step becomes running and the session's current step, and step_started
// is added. Once the run is over, no attempt begins, and one that still runs is closed as
// cancelled: [schema.CodeStale].
func (s *Store) BeginAttempt(ctx context.Context, b BeginAttempt) (BegunAttempt, error) {
	if !schema.ValidID(b.RunID) {
		return BegunAttempt{}, noRun(b.RunID)
	}
	var (
		answer   BegunAttempt
		status   schema.StepStatus
		over     bool
		attempts []begun
	)
	again := false
	_, err := s.inSessionTx(ctx, "begin an attempt", b.SessionID, "", func(c *sessionTx) {
		if b.Live > 0 && b.Worker != "" {
			c.reads.Queue(`SELECT EXISTS (SELECT FROM events WHERE session_id = $1::uuid AND idem_key = $2)`, b.SessionID, b.reattachKey()).
				QueryRow(func(row pgx.Row) error { return row.Scan(&again) })
		}
		c.reads.Queue(`SELECT st.status, r.finished_at IS NOT NULL FROM steps st JOIN runs r ON r.id = st.run_id
			WHERE st.run_id = $1::uuid AND st.step_id = $2 AND r.session_id = $3::uuid`, b.RunID, b.StepID, b.SessionID).
			QueryRow(func(row pgx.Row) error { return notFoundIfNoRows(row.Scan(&status, &over), noStep(b.RunID, b.StepID)) })
		queueAttempts(c, b.RunID, b.StepID, &attempts)
	}, func(c *sessionTx) error {
		var lost schema.Reason
		last := 0
		if next := b.superseded(attempts); next > 0 && !over {
			answer = BegunAttempt{Number: next}
			return errNothing
		}
		for i := range attempts {
			a := &attempts[i]
			last = max(last, a.number)
			mine := a.execution == b.Execution
			switch {
			case a.end.Status == schema.AttemptRunning && over:
				closeCut(c, b.RunID, cutAttempt{b.StepID, a.number, a.started})
			case a.end.Status == schema.AttemptRunning && mine && a.number == b.Live:
				answer = BegunAttempt{Number: a.number, SpoolOffset: a.offset}
				if b.Worker == "" || again {
					return errNothing
				}
				c.key = b.reattachKey()
				c.event(schema.EventStepReattached, b.RunID, b.StepID, schema.StepReattachedData{Attempt: a.number, Host: b.Host})
				return nil
			case a.end.Status == schema.AttemptRunning:
				lost = cmp.Or(b.Lost, schema.ReasonWorkerLost)
				if a.host != b.Host {
					lost = schema.ReasonHostLost
				}
				b.lose(c, a, lost)
			case mine && a.end.Status != schema.AttemptLost:
				answer = BegunAttempt{Number: a.number, Finished: &a.end}
				return errNothing
			}
		}
		if over {
			return nil // closed attempts stay closed; see below
		}
		answer = BegunAttempt{Number: last + 1}
		b.begin(c, answer.Number, status, lost)
		return nil
	})
	if err == nil && answer.Number == 0 {
		err = schema.Errorf(schema.CodeStale, "run %q is over", b.RunID)
	}
	return answer, err
}

// superseded is the number of the attempt that replaced the caller's; 0 if there is none.
func (b *BeginAttempt) superseded(attempts []begun) int {
	lost := func(a begun) bool { return a.number == b.Live && a.end.Status == schema.AttemptLost }
	if last := len(attempts) - 1; last >= 0 && attempts[last].number > b.Live && slices.ContainsFunc(attempts, lost) {
		return attempts[last].number
	}
	return 0
}

func (b *BeginAttempt) reattachKey() string {
	return fmt.Sprintf("reattach/%s/%s/%d/%s", b.RunID, b.StepID, b.Live, b.Worker)
}

func (b *BeginAttempt) lose(c *sessionTx, a *begun, why schema.Reason) {
	took := max(c.now.Sub(a.started), 0).Milliseconds()
	c.writes.Queue(`UPDATE attempts SET status = $4, reason = $5, duration_ms = $6, finished_at = $7::timestamptz
		WHERE run_id = $1::uuid AND step_id = $2 AND number = $3`,
		b.RunID, b.StepID, a.number, string(schema.AttemptLost), string(why), took, c.now)
	c.event(schema.EventStepFailed, b.RunID, b.StepID, schema.StepFailedData{
		Attempt: a.number, Status: schema.AttemptLost, Reason: why, DurationMS: took,
	})
}

func (b *BeginAttempt) begin(c *sessionTx, number int, status schema.StepStatus, lost schema.Reason) {
	reason := cmp.Or(lost, b.Reason)
	if reason != "" {
		c.event(schema.EventStepRetryStarted, b.RunID, b.StepID, schema.StepRetryStartedData{Attempt: number, Reason: reason})
	}
	moveStep(c, b.RunID, b.StepID, status, schema.StepRunning, "")
	c.event(schema.EventStepStarted, b.RunID, b.StepID, schema.StepStartedData{
		Attempt: number, Host: b.Host, Command: append([]string{}, b.Command...),
	})
	c.writes.Queue(`INSERT INTO attempts (run_id, step_id, number, execution, status, host, started_at)
		VALUES ($1::uuid, $2, $3, $4, $5, $6, $7::timestamptz)`,
		b.RunID, b.StepID, number, b.Execution, string(schema.AttemptRunning), clean(b.Host), c.now)
	c.writes.Queue(`UPDATE session_states SET current_step = $2, version = version + 1 WHERE session_id = $1::uuid`, c.session, b.StepID)
}

// FileChange is a file that an attempt has written.
type FileChange struct {
	Path    string
	Size    int64
	Created bool // it did not exist before
}

// FinishAttempt closes an attempt. StepStatus is the step's new status: succeeded, failed,
// cancelled, or ready when it will be retried or asked about again.
type FinishAttempt struct {
	SessionID  string
	RunID      string
	StepID     string
	Attempt    int
	End        AttemptEnd
	StepStatus schema.StepStatus
	Files      []FileChange
	Snapshot   string // the workspace afterwards, in the blob store; "" if it was not saved
}

// FinishAttempt records an attempt's end with file_created and file_updated for Files, then
// step_completed (and step_retry_succeeded after the first attempt) or step_failed, then
// dag_node_status_changed. An attempt that has already ended stays as it is, without error; one
// that was closed as lost is [schema.CodeStale]: another has replaced it.
func (s *Store) FinishAttempt(ctx context.Context, f FinishAttempt) error {
	if !schema.ValidID(f.RunID) {
		return noRun(f.RunID)
	}
	var (
		step   schema.StepStatus
		before schema.AttemptStatus
	)
	_, err := s.inSessionTx(ctx, "finish an attempt", f.SessionID, "", func(c *sessionTx) {
		c.reads.Queue(`SELECT st.status, a.status FROM attempts a JOIN steps st ON st.run_id = a.run_id AND st.step_id = a.step_id
			JOIN runs r ON r.id = a.run_id
			WHERE a.run_id = $1::uuid AND a.step_id = $2 AND a.number = $3 AND r.session_id = $4::uuid`, f.RunID, f.StepID, f.Attempt, f.SessionID).
			QueryRow(func(row pgx.Row) error {
				return notFoundIfNoRows(row.Scan(&step, &before), noAttempt(f.RunID, f.StepID, f.Attempt))
			})
	}, func(c *sessionTx) error {
		switch before {
		case schema.AttemptRunning:
		case schema.AttemptLost:
			return attemptOver(f.StepID, f.Attempt)
		default:
			return errNothing
		}
		f.record(c, step)
		return nil
	})
	return err
}

func (f *FinishAttempt) record(c *sessionTx, step schema.StepStatus) {
	end := &f.End
	c.writes.Queue(`UPDATE attempts SET status = $4, exit_code = $5, signal = $6, reason = $7, message = $8, duration_ms = $9,
			cpu_seconds = $10, max_rss_bytes = $11, finished_at = $12::timestamptz, read_bytes = $13, write_bytes = $14, snapshot = $15
		WHERE run_id = $1::uuid AND step_id = $2 AND number = $3`,
		f.RunID, f.StepID, f.Attempt, string(end.Status), end.ExitCode, clean(end.Signal), string(end.Reason), clean(end.Message),
		end.DurationMS, end.CPUSeconds, end.MaxRSSBytes, c.now, end.ReadBytes, end.WriteBytes, f.Snapshot)
	if f.Snapshot != "" {
		c.writes.Queue(`UPDATE session_states SET snapshot = $2 WHERE session_id = $1::uuid`, c.session, f.Snapshot)
	}
	for _, file := range f.Files {
		kind := schema.EventFileUpdated
		if file.Created {
			kind = schema.EventFileCreated
		}
		c.event(kind, f.RunID, f.StepID, schema.FileChangedData{Path: file.Path, Size: file.Size})
	}
	if end.Status == schema.AttemptSucceeded {
		data := schema.StepCompletedData{
			Attempt: f.Attempt, DurationMS: end.DurationMS, CPUSeconds: end.CPUSeconds, MaxRSSBytes: end.MaxRSSBytes,
			ReadBytes: end.ReadBytes, WriteBytes: end.WriteBytes,
		}
		if end.ExitCode != nil {
			data.ExitCode = *end.ExitCode
		}
		c.event(schema.EventStepCompleted, f.RunID, f.StepID, data)
		if f.Attempt > 1 {
			c.event(schema.EventStepRetrySucceeded, f.RunID, f.StepID, schema.StepRetrySucceededData{Attempt: f.Attempt})
		}
	} else {
		c.event(schema.EventStepFailed, f.RunID, f.StepID, schema.StepFailedData{
			Attempt: f.Attempt, Status: end.Status, ExitCode: end.ExitCode, Signal: end.Signal, Reason: end.Reason, Message: end.Message,
			DurationMS: end.DurationMS, CPUSeconds: end.CPUSeconds, MaxRSSBytes: end.MaxRSSBytes,
			ReadBytes: end.ReadBytes, WriteBytes: end.WriteBytes,
		})
	}
	// A step that the workflow has closed meanwhile stays closed.
	if f.StepStatus != "" && !step.Final() {
		moveStep(c, f.RunID, f.StepID, step, f.StepStatus, string(end.Reason))
	}
}

func queueAttempts(c *sessionTx, run, step string, into *[]begun) {
	c.reads.Queue(`SELECT number, execution, host, spool_offset, started_at, status, exit_code, signal, reason, message, cpu_seconds,
		       max_rss_bytes, duration_ms, read_bytes, write_bytes
		FROM attempts WHERE run_id = $1::uuid AND step_id = $2 ORDER BY number`, run, step).
		Query(func(rows pgx.Rows) error {
			defer rows.Close()
			for rows.Next() {
				var a begun
				if err := rows.Scan(&a.number, &a.execution, &a.host, &a.offset, &a.started, &a.end.Status, &a.end.ExitCode, &a.end.Signal, &a.end.Reason,
					&a.end.Message, &a.end.CPUSeconds, &a.end.MaxRSSBytes, &a.end.DurationMS, &a.end.ReadBytes,
					&a.end.WriteBytes); err != nil {
					return err
				}
				*into = append(*into, a)
			}
			return rows.Err()
		})
}

// notFoundIfNoRows returns what if err says that there was no row.
func notFoundIfNoRows(err, what error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return what
	}
	return err
}

func noStep(run, step string) error {
	return schema.Errorf(schema.CodeNotFound, "run %q has no step %q", run, step)
}
