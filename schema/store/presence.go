package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Viewer is a client viewing a session over one connection.
type Viewer struct {
	SessionID    string
	ConnectionID string
	ClientID     string
	User         string
	ApprovalID   string      // the pending approval that it looks at; "" for none
	Since        schema.Time // on the same clock as the times of a [Connection]
}

// Viewers says who views a session.
type Viewers struct {
	First []Viewer // those at an approval first, then in order of arrival
	Count int      // all of them
}

// queueViewers queues what an instance's connections view. Each statement notifies about the
// sessions that it changes. A viewer that leaves and comes back in one report is present.
func queueViewers(b *pgx.Batch, instance string, c ConnectionChanges) {
	if len(c.Left) > 0 {
		var sessions, connections []string
		for i := range c.Left {
			sessions = append(sessions, c.Left[i].SessionID)
			connections = append(connections, c.Left[i].ConnectionID)
		}
		b.Queue(`DELETE FROM viewers v USING unnest($1::uuid[], $2::text[]) AS gone (session, connection)
			WHERE v.session_id = gone.session AND v.connection_id = gone.connection`, sessions, connections)
	}
	if len(c.Viewing) > 0 {
		var (
			sessions, connections, users, clients, approvals []string
			ages                                             []float64
		)
		for i := range c.Viewing {
			v := &c.Viewing[i]
			sessions = append(sessions, v.SessionID)
			connections = append(connections, clean(v.ConnectionID))
			users = append(users, clean(v.User))
			clients = append(clients, clean(v.ClientID))
			approvals = append(approvals, clean(v.ApprovalID))
			ages = append(ages, age(v.Since))
		}
		b.Queue(`INSERT INTO viewers (session_id, connection_id, server_instance, user_name, client_id, approval_id, since)
			SELECT v.session, v.connection, $1, v.user_name, v.client, v.approval, clock_timestamp() - make_interval(secs => v.age)
			  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[]) AS v (session, connection, user_name, client, approval, age)
			ON CONFLICT (session_id, connection_id) DO UPDATE SET approval_id = EXCLUDED.approval_id
			 WHERE viewers.approval_id <> EXCLUDED.approval_id`, instance, sessions, connections, users, clients, approvals, ages)
	}
}

// Viewers returns who views each of these sessions; one without viewers is absent. Of a client's
// connections, the newest counts. At most limit viewers are listed per session.
func (s *Store) Viewers(ctx context.Context, sessionIDs []string, limit int) (map[string]Viewers, error) {
	rows, err := s.pool.Query(ctx, `SELECT session_id::text, connection_id, client_id, user_name, approval_id, since, total FROM (
			SELECT v.*, count(*) OVER (PARTITION BY session_id) AS total,
			       row_number() OVER (PARTITION BY session_id ORDER BY approval_id = '', since, connection_id) AS place
			  FROM (SELECT DISTINCT ON (session_id, user_name, COALESCE(NULLIF(client_id, ''), connection_id)) *
			          FROM viewers WHERE session_id = ANY ($1::uuid[])
			         ORDER BY session_id, user_name, COALESCE(NULLIF(client_id, ''), connection_id), since DESC, connection_id) v) w
		 WHERE place <= $2 ORDER BY session_id, place`, sessionIDs, limit)
	if err != nil {
		return nil, failed("list viewers", err)
	}
	var (
		v     Viewer
		total int
	)
	found := map[string]Viewers{}
	_, err = pgx.ForEachRow(rows, []any{&v.SessionID, &v.ConnectionID, &v.ClientID, &v.User, &v.ApprovalID, &v.Since.Time, &total}, func() error {
		found[v.SessionID] = Viewers{First: append(found[v.SessionID].First, v), Count: total}
		return nil
	})
	return found, failed("list viewers", err)
}
