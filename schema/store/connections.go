package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

// Connection is a client's connection to a web instance.
type Connection struct {
	ID             string
	ClientID       string
	SessionID      string // "" while it watches none
	User           string
	Address        string
	ServerInstance string
	ConnectedAt    schema.Time // given by the database
	LastHeartbeat  schema.Time // given by the database
}

// Connect records connections, or what they watch by now.
func (s *Store) Connect(ctx context.Context, connections ...Connection) error {
	if len(connections) == 0 {
		return nil
	}
	rows := make([]connectionRow, 0, len(connections))
	for i := range connections {
		c := &connections[i]
		if c.SessionID != "" && !schema.ValidID(c.SessionID) {
			return noSession(c.SessionID)
		}
		rows = append(rows, connectionRow{
			ID: clean(c.ID), ClientID: clean(c.ClientID), SessionID: c.SessionID, User: clean(c.User), Address: clean(c.Address),
			ServerInstance: clean(c.ServerInstance),
		})
	}
	_, err := s.db.NewInsert().Model(&rows).On("CONFLICT (id) DO UPDATE").
		Set("client_id = EXCLUDED.client_id, session_id = EXCLUDED.session_id, user_name = EXCLUDED.user_name").
		Set("address = EXCLUDED.address, server_instance = EXCLUDED.server_instance, last_heartbeat = now()").Exec(ctx)
	return failed("record a connection", err)
}

// TouchConnections is the heartbeat of a web instance: all its connections are alive.
func (s *Store) TouchConnections(ctx context.Context, serverInstance string) error {
	_, err := s.db.NewUpdate().Model((*connectionRow)(nil)).Set("last_heartbeat = now()").
		Where("server_instance = ?", clean(serverInstance)).Exec(ctx)
	return failed("record a heartbeat", err)
}

// Disconnect forgets connections; unknown ones are forgotten already.
func (s *Store) Disconnect(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := s.db.NewDelete().Model((*connectionRow)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return failed("forget a connection", err)
}

// RemoveStale forgets connections whose web instance has not been heard of for olderThan,
// and returns how many.
func (s *Store) RemoveStale(ctx context.Context, olderThan time.Duration) (int, error) {
	done, err := s.db.NewDelete().Model((*connectionRow)(nil)).
		Where("last_heartbeat < now() - make_interval(secs => ?)", olderThan.Seconds()).Exec(ctx)
	if err != nil {
		return 0, failed("forget stale connections", err)
	}
	n, err := done.RowsAffected()
	return int(n), failed("forget stale connections", err)
}

// Connections lists every recorded connection, the oldest first.
func (s *Store) Connections(ctx context.Context) ([]Connection, error) {
	var rows []connectionRow
	if err := s.db.NewSelect().Model(&rows).OrderExpr("c.connected_at, c.id").Scan(ctx); err != nil {
		return nil, failed("list connections", err)
	}
	list := make([]Connection, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		list = append(list, Connection{
			ID: r.ID, ClientID: r.ClientID, SessionID: r.SessionID, User: r.User, Address: r.Address, ServerInstance: r.ServerInstance,
			ConnectedAt: timeOf(r.ConnectedAt), LastHeartbeat: timeOf(r.LastHeartbeat),
		})
	}
	return list, nil
}
