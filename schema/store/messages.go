package store

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Messages reads a session's conversation, oldest first; next is the cursor of the next page, "" on
// the last.
func (s *Store) Messages(ctx context.Context, sessionID string, limit int, cursor string) (list []schema.Message, next string, err error) {
	if _, err := s.HeadSeq(ctx, sessionID); err != nil {
		return nil, "", err
	}
	limit = page(limit)
	var after int64
	if cursor != "" {
		if after, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return nil, "", badCursor(cursor)
		}
	}
	var rows []messageRow
	err = s.db.selectWith(sessionID, after).Model(&rows).Where("m.session_id = $1").Where("m.id > $2").
		OrderExpr("m.id").Limit(int64(limit) + 1).Scan(ctx)
	if err != nil {
		return nil, "", failed("read messages", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = strconv.FormatInt(rows[limit-1].ID, 10)
	}
	list = make([]schema.Message, 0, len(rows))
	for i := range rows {
		list = append(list, rows[i].object())
	}
	return list, next, nil
}

// AddMessage adds an entry to a session's conversation, once per key, and moves the session's
// conversation position to it. The database sets m's ID and CreatedAt.
func (s *Store) AddMessage(ctx context.Context, key string, m schema.Message) error {
	_, err := s.inSessionTx(ctx, "add a message", m.SessionID, "message:"+key, nil, func(c *sessionTx) error {
		queueMessage(c.writes, &messageRow{SessionID: m.SessionID, RunID: m.RunID, Role: m.Role, Agent: m.Agent, Actor: m.Actor, Content: m.Content})
		return nil
	})
	return err
}

func queueMessage(b *pgx.Batch, m *messageRow) {
	var at *time.Time
	if !m.CreatedAt.IsZero() {
		at = &m.CreatedAt
	}
	b.Queue(`WITH said AS (
			INSERT INTO messages (session_id, run_id, role, agent, actor, content, number, status, created_at, text_id)
			VALUES ($1::uuid, NULLIF($2::text, '')::uuid, $3, $4, $5, $6, NULLIF($7::integer, 0), $8, COALESCE($9::timestamptz, now()), NULLIF($10::text, '')::uuid)
			RETURNING id)
		UPDATE session_states SET conversation_position = said.id FROM said WHERE session_id = $1::uuid`,
		m.SessionID, m.RunID, clean(m.Role), clean(m.Agent), clean(m.Actor), clean(m.Content), m.Number, string(m.Status), at, m.TextID)
}
