package main

import (
	"context"
	"crypto/md5" //nolint:gosec // same as in Postgres; only for digits that do not repeat
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	openLines         = 10_000_000
	openLinesPerEvent = 4    // as many as fit in an event that is not yet compressed
	openLineBytes     = 100  // with the line break
	openFewest        = 2000 // enough lines for a page to read as much as it ever does
)

// benchOpen measures what a page requests when it opens a session with a long log, next to one
// with a thousandth of it; while the log is rows, and once it has been compacted.
func benchOpen(ctx context.Context, w *world) ([]measurement, error) {
	lines := openLines
	if w.small {
		lines = 2000
	}
	short, err := w.ended(ctx)
	if err != nil {
		return nil, err
	}
	long, err := w.ended(ctx)
	if err != nil {
		return nil, err
	}
	few := max(lines/1000, openFewest)
	fmt.Fprintf(os.Stderr, "  %d lines\n", lines)
	if err := errors.Join(w.lengthen(ctx, long, lines), w.lengthen(ctx, short, few)); err != nil {
		return nil, fmt.Errorf("make long logs: %w", err)
	}
	rows, err := w.opened(ctx, long, short)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "  compact")
	before, err := w.logSize(ctx)
	if err != nil {
		return nil, err
	}
	var done store.Compacted
	took, err := timed(func() error {
		for more := true; more; {
			step, err := w.store.Compact(ctx, long)
			if err != nil {
				return err
			}
			done.Events += step.Events
			done.Blocks += step.Blocks
			done.After += step.After
			more = step.More
		}
		_, err := w.db.Exec(ctx, `VACUUM (ANALYZE) events`) // as autovacuum does
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	blocks, err := w.opened(ctx, long, short)
	if err != nil {
		return nil, err
	}
	const what = "open a session of %d lines, %s, p50; bare: of %d, as rows"
	asRows := compared(fmt.Sprintf(what, lines, "as rows", few), "ms", rows.long, rows.short)
	asBlocks := compared(fmt.Sprintf(what, lines, "compacted", few), "ms", blocks.long, blocks.short)
	asRows.RatioGoal, asRows.Better = 1.15, lower
	asBlocks.RatioGoal, asBlocks.Better = 1.15, lower
	return []measurement{
		asRows, asBlocks,
		one("read 1,000 events of its middle, as rows, p50", "ms", 0, "", rows.middle),
		one("read 1,000 events of its middle, compacted, p50", "ms", 0, "", blocks.middle),
		{Figure: "its events in Postgres, as rows with indexes", Unit: "MB", Value: before},
		{Figure: "its events in Postgres, compacted", Unit: "MB", Value: float64(done.After) / 1e6},
		{Figure: "compaction", Unit: "lines/s", Value: float64(lines) / took * 1000},
	}, nil
}

// ended makes a session whose run has printed a line and is over.
func (w *world) ended(ctx context.Context) (string, error) {
	id, err := w.session(ctx, running("echo", "hello"))
	if err == nil {
		err = w.untilType(ctx, id, schema.EventWorkflowCompleted)
	}
	return id, err
}

// lengthen adds lines to a log, as if a step had printed them, and a few other events after them.
func (w *world) lengthen(ctx context.Context, id string, lines int) error {
	// A line is a number, 32 digits that do not repeat, and words that do.
	words := strings.Repeat(" and so on", openLineBytes)[:openLineBytes-len("00000000 \n")-md5.Size*2]
	line := `lpad((4 * i + %d)::text, 8, '0') || ' ' || md5((4 * i + %[1]d)::text) || '` + words + `\n'`
	parts := make([]string, openLinesPerEvent)
	for k := range parts {
		parts[k] = fmt.Sprintf(line, k)
	}
	data := `'{"stream":"stdout","text":"' || ` + strings.Join(parts, " || ") + ` || '","offset":0,"attempt":1}'`
	_, err := w.db.Exec(ctx, `WITH s AS (UPDATE sessions SET head_seq = head_seq + $2 WHERE id = $1 RETURNING head_seq - $2 AS head)
		INSERT INTO events (session_id, seq, type, run_id, step_id, size, data)
		SELECT $1::uuid, s.head + i, 'output', $3::uuid, 's', length(e.data), e.data::json
		  FROM s, generate_series(1, $2::bigint) AS i, LATERAL (SELECT `+data+` AS data) e`,
		id, lines/openLinesPerEvent, schema.RunID(id, 1))
	if err != nil {
		return err
	}
	_, err = w.store.AppendEvents(ctx, store.AppendEvents{SessionID: id, Key: "story", Events: []schema.NewEvent{
		{Type: schema.EventFileUpdated, Data: schema.FileChangedData{Path: "result.txt", Size: 1}},
	}})
	if err != nil {
		return err
	}
	_, err = w.db.Exec(ctx, `ANALYZE events`)
	return err
}

func (w *world) logSize(ctx context.Context) (megabytes float64, err error) {
	err = w.db.QueryRow(ctx, `SELECT pg_total_relation_size('events') / 1e6`).Scan(&megabytes)
	return megabytes, err
}

type openings struct {
	long, short rounds
	middle      []float64
}

// opened opens a long and a short session alternately, so that both see the same machine.
func (w *world) opened(ctx context.Context, long, short string) (o openings, err error) {
	samples := w.size(20, 2)
	for range w.roundsOf() {
		var ours, bare []float64
		for range samples {
			for _, of := range []struct {
				id   string
				into *[]float64
			}{{long, &ours}, {short, &bare}} {
				took, err := timed(func() error { return w.openPage(ctx, of.id) })
				if err != nil {
					return o, err
				}
				*of.into = append(*of.into, took)
			}
		}
		o.long, o.short = append(o.long, ours), append(o.short, bare)
	}
	var session schema.Session
	if err := w.call(ctx, http.MethodGet, "/api/sessions/"+long, nil, &session); err != nil {
		return o, err
	}
	for i := range int64(samples) {
		took, err := timed(func() error {
			return w.readEvents(ctx, long, session.HeadSeq/int64(samples)*i, session.HeadSeq, "limit=1000")
		})
		if err != nil {
			return o, err
		}
		o.middle = append(o.middle, took)
	}
	return o, nil
}

// readEvents requests a part of a log.
func (w *world) readEvents(ctx context.Context, id string, since, until int64, more string) error {
	path := fmt.Sprintf("/api/sessions/%s/events?since=%d&until=%d&%s", id, since, until, more)
	var page struct {
		Events []schema.Event `json:"events"`
	}
	return w.call(ctx, http.MethodGet, path, nil, &page)
}

// openPage makes a page's requests: the session, the newest events to learn their size, what
// happened lately, and the log from the tail on over the WebSocket.
func (w *world) openPage(ctx context.Context, id string) error {
	const probe, window, tail = 200, 4000, 200
	var session schema.Session
	if err := w.call(ctx, http.MethodGet, "/api/sessions/"+id, nil, &session); err != nil {
		return err
	}
	head := session.HeadSeq
	if err := w.readEvents(ctx, id, max(0, head-probe), head, "limit=1000"); err != nil {
		return err
	}
	for upTo, width := head, int64(window); upTo > 0; width *= 16 {
		since := max(0, upTo-width)
		if err := w.readEvents(ctx, id, since, upTo, "types=workflow_started,workflow_completed,step_started,step_completed,file_updated,dag_created"); err != nil {
			return err
		}
		upTo = since
	}
	c, _, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(w.web, "http")+"/ws", nil) //nolint:bodyclose // a WebSocket's answer has none
	if err != nil {
		return err
	}
	s := &stream{conn: c, stop: context.AfterFunc(ctx, func() { _ = c.Close() })}
	defer s.close()
	if err := c.WriteJSON(obj{"type": "subscribe", "session_id": id, "since": max(0, head-tail)}); err != nil {
		return err
	}
	for {
		e, err := s.next()
		if err != nil || e.Seq == head {
			return err
		}
	}
}
