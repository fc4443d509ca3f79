package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Archive stores blocks of events outside Postgres. Its errors are [schema.Error]s: unavailable
// when it is down, not_found for keys that it does not have.
type Archive interface {
	// ReadObject returns what was written under a key.
	ReadObject(ctx context.Context, key string) ([]byte, error)
	// WriteObject stores data durably, and replaces what was there.
	WriteObject(ctx context.Context, key string, data []byte) error
	// DeleteObject removes an object, if it exists.
	DeleteObject(ctx context.Context, key string) error
}

// block is a row of event_blocks, without its text.
type block struct {
	session     string
	first, last int64
	events      int
	size        int64 // bytes of the events' data
}

// archiveKey is the name of the block in the archive.
func (b *block) archiveKey() string {
	return "events/" + b.session + "/" + strconv.FormatInt(b.first, 10) + "-" + strconv.FormatInt(b.last, 10) + ".zst"
}

// eventsWithBlocks is [Store.Events] for part of a log that is partly in blocks. It reads blocks and rows as of one moment,
// in one round trip, so that an event being compacted meanwhile is in exactly one of them. A block never changes, so
// its text may be read later.
func (s *Store) eventsWithBlocks(ctx context.Context, sessionID string, f *EventFilter) ([]schema.Event, error) {
	var (
		blocks []block
		events []schema.Event
	)
	b := &pgx.Batch{}
	b.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	// One block more than events: all of the first block may precede the requested range.
	b.Queue(`SELECT first_seq, last_seq, events, size FROM event_blocks
		WHERE session_id = $1 AND last_seq > $2 AND first_seq <= $3 AND (cardinality($4::text[]) = 0 OR types && $4::text[])
		ORDER BY last_seq LIMIT $5`, sessionID, f.Since, f.Until, f.kinds(), f.Limit+1).
		Query(func(rows pgx.Rows) (err error) {
			blocks, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (block, error) {
				b := block{session: sessionID}
				return b, row.Scan(&b.first, &b.last, &b.events, &b.size)
			})
			return err
		})
	text, args := f.query(queryMixed, sessionID)
	b.Queue(text, args...).
		Query(func(rows pgx.Rows) (err error) {
			events, _, err = scanEvents(rows, sessionID)
			return err
		})
	b.Queue(`COMMIT`)
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read rows and blocks: %w", err)
	}
	bounded := *f
	blocks, bounded.Until = f.selectBlocks(blocks)
	parts, lost, err := s.loadBlocks(ctx, blocks)
	if err != nil {
		return nil, err
	}
	out := bounded.merge(events, parts)
	if lost == nil {
		return out, nil
	}
	return beforeLoss(f, out, lost)
}

// beforeLoss returns the events before the first lost one or, if there are none, the lost range as an error.
func beforeLoss(f *EventFilter, events []schema.Event, lost *RangeError) ([]schema.Event, error) {
	if len(f.Types) > 0 { // gaps are normal here, so only events before the block are certain
		whole := slices.IndexFunc(events, func(e schema.Event) bool { return e.Seq >= lost.From })
		if whole < 0 {
			whole = len(events)
		}
		if whole == 0 {
			return nil, lostRange(max(lost.From, f.Since+1), lost.To, lost.cause.Cause)
		}
		return events[:whole], nil
	}
	n := 0
	for n < len(events) && events[n].Seq == f.Since+1+int64(n) {
		n++
	}
	if n > 0 {
		return events[:n], nil
	}
	to := lost.To
	if len(events) > 0 { // events other than output are rows beside the blocks
		to = min(to, events[0].Seq-1)
	}
	return nil, lostRange(f.Since+1, to, lost.cause.Cause)
}

// selectBlocks selects the blocks to read, from the first on, so that they hold as much as the filter allows. It also
// returns the seq up to which the blocks are complete.
func (f *EventFilter) selectBlocks(blocks []block) ([]block, int64) {
	events, size := 0, int64(0)
	for i := range blocks {
		b := &blocks[i]
		if b.first <= f.Since { // how many of its events come after that is unknown
			continue
		}
		if len(f.Types) > 0 {
			events++ // at least
		} else {
			events += b.events
		}
		size += b.size
		if events >= f.Limit || f.MaxBytes > 0 && size >= f.MaxBytes {
			return blocks[:i+1], min(b.last, f.Until)
		}
	}
	return blocks, f.Until
}

// merge merges rows and blocks, each in the order of seq, up to the limits of the filter.
func (f *EventFilter) merge(rows []schema.Event, parts [][]schema.Event) []schema.Event {
	out := []schema.Event{}
	size := int64(0)
	add := func(e *schema.Event) bool {
		size += int64(len(e.Data))
		if len(out) == f.Limit || f.MaxBytes > 0 && size > f.MaxBytes && len(out) > 0 {
			return false
		}
		out = append(out, *e)
		return true
	}
	for _, part := range parts {
		for i := range part {
			e := &part[i]
			if e.Seq <= f.Since || e.Seq > f.Until || len(f.Types) > 0 && !slices.Contains(f.Types, e.Type) {
				continue
			}
			for ; len(rows) > 0 && rows[0].Seq < e.Seq; rows = rows[1:] {
				if !add(&rows[0]) {
					return out
				}
			}
			if !add(e) {
				return out
			}
		}
	}
	for i := range rows {
		if rows[i].Seq > f.Until || !add(&rows[i]) { // beyond Until there may be blocks that were not read
			break
		}
	}
	return out
}

// loadBlocks reads the events of blocks, and reports the first block that cannot be read.
func (s *Store) loadBlocks(ctx context.Context, blocks []block) (_ [][]schema.Event, lost *RangeError, _ error) {
	parts := make([][]schema.Event, len(blocks))
	var missing []int64
	for i := range blocks {
		if parts[i] = s.blocks.get(&blocks[i]); parts[i] == nil {
			missing = append(missing, blocks[i].last)
		}
	}
	if len(missing) == 0 {
		return parts, nil, nil
	}
	rows, err := s.pool.Query(ctx, `SELECT last_seq, packed, COALESCE(blob, '') FROM event_blocks WHERE session_id = $1 AND last_seq = ANY ($2::bigint[])`,
		blocks[0].session, missing)
	if err != nil {
		return nil, nil, err
	}
	type body struct {
		packed []byte
		blob   string
	}
	bodies := map[int64]body{}
	var (
		last int64
		b    body
	)
	_, err = pgx.ForEachRow(rows, []any{&last, &b.packed, &b.blob}, func() error {
		bodies[last] = b
		b = body{}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for i := range blocks {
		if parts[i] != nil {
			continue
		}
		b := bodies[blocks[i].last]
		var err error
		if b.blob != "" {
			b.packed, err = s.readArchived(ctx, b.blob)
		}
		if err == nil {
			parts[i], err = blocks[i].unpack(b.packed)
		}
		switch {
		case err == nil:
			s.blocks.add(&blocks[i], parts[i])
		case !errors.Is(err, errNoBlock) && !errors.Is(err, errBlock): // it may be readable later
			return nil, nil, err
		case lost == nil:
			lost = lostRange(blocks[i].first, blocks[i].last, err)
		}
	}
	return parts, lost, nil
}

// errNoBlock says that a block is not where it should be.
var errNoBlock = errors.New("a block of events is not in the blob store of this process")

func (s *Store) readArchived(ctx context.Context, key string) ([]byte, error) {
	if s.archive == nil {
		return nil, fmt.Errorf("%w, which is not configured", errNoBlock)
	}
	packed, err := s.archive.ReadObject(ctx, key)
	if schema.CodeOf(err) == schema.CodeNotFound { // most likely this is another blob store than the worker's
		return nil, fmt.Errorf("%w: %w", errNoBlock, err)
	}
	return packed, err
}

// unpack reads the events of a block, and checks that they are the expected ones.
func (b *block) unpack(packed []byte) ([]schema.Event, error) {
	text, err := decoder().DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlock, err)
	}
	events, err := parseLines(text, b.events)
	if err != nil {
		return nil, err
	}
	if n := len(events); n == 0 || n != b.events || events[0].Seq != b.first || events[n-1].Seq != b.last || events[0].SessionID != b.session {
		return nil, fmt.Errorf("%w: it lacks the %d events from %d to %d", errBlock, b.events, b.first, b.last)
	}
	return events, nil
}

// Limits of the block cache.
const (
	cachedBlockBytes = 32 << 20 // of the events' data
	cachedBlocks     = 256
)

// blockCache keeps the most recently read blocks: a reader comes back for the rest of one.
type blockCache struct {
	mu    sync.Mutex
	held  []cachedBlock // the latest last
	bytes int64
}

type cachedBlock struct {
	block

	parts []schema.Event
}

func (c *blockCache) find(b *block) int {
	return slices.IndexFunc(c.held, func(h cachedBlock) bool { return h.block == *b })
}

func (c *blockCache) get(b *block) []schema.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.find(b)
	if i < 0 {
		return nil
	}
	h := c.held[i]
	c.held = append(slices.Delete(c.held, i, i+1), h)
	return h.parts
}

func (c *blockCache) add(b *block, parts []schema.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.find(b) >= 0 {
		return
	}
	c.held = append(c.held, cachedBlock{*b, parts})
	c.bytes += b.size
	drop := 0
	for ; (c.bytes > cachedBlockBytes || len(c.held)-drop > cachedBlocks) && drop < len(c.held)-1; drop++ {
		c.bytes -= c.held[drop].size
	}
	c.held = slices.Delete(c.held, 0, drop)
}
