package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast/holdfast/schema"
)

// Instance is a live web instance.
type Instance struct {
	ID            string
	StartedAt     schema.Time
	LastHeartbeat schema.Time
}

// Connection is a client's connection to a web instance. Its times are by the clock of whoever
// provides it: the caller's when it is recorded, the database's when it is read.
type Connection struct {
	ID             string
	Order          ConnectOrder // zero until it is recorded
	ClientID       string
	SessionID      string   // the latest session that it watches; "" for none
	Sessions       []string // the sessions that it views; only read
	User           string
	Address        string
	ServerInstance string
	ConnectedAt    schema.Time
	LastActivity   schema.Time
	LastHeartbeat  schema.Time // when it was last recorded; set by the database
	Lag            int64       // events not yet sent to it at that time
}

// ConnectOrder is a connection's place in the order of connecting, across all instances: the time by the database's clock, and
// a number to order connections of the same moment.
type ConnectOrder struct {
	At     time.Time
	Number int64
}

// ConnectionChanges is what an instance reports about its connections. Reporting it again changes
// nothing.
type ConnectionChanges struct {
	Connected    []Connection // new or changed
	Disconnected []string     // ids; unknown ones are ignored
	Viewing      []Viewer     // new or changed
	Left         []Viewer     // by SessionID and ConnectionID
}

// ErrInstanceGone says that an instance is unknown: it was not heard of for too long, and has to
// report everything again.
var ErrInstanceGone = errors.New("the web instance is not known to the database")

// Heartbeat says that an instance is alive. fresh reports that the instance was unknown: it is new,
// or was given up, with all that it had reported.
func (s *Store) Heartbeat(ctx context.Context, instance string) (fresh bool, err error) {
	done, err := s.pool.Exec(ctx, `WITH beat AS (UPDATE web_instances SET last_heartbeat = clock_timestamp() WHERE instance = $1 RETURNING 1)
		INSERT INTO web_instances (instance) SELECT $1 WHERE NOT EXISTS (SELECT FROM beat) ON CONFLICT DO NOTHING`, clean(instance))
	return done.RowsAffected() > 0, failed("record a heartbeat", err)
}

// RemoveInstance removes an instance with its connections and viewers.
func (s *Store) RemoveInstance(ctx context.Context, instance string) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM web_instances WHERE instance = $1`, clean(instance))
	return failed("forget a web instance", err)
}

// RemoveDeadInstances removes instances not heard of for olderThan, with their connections and
// viewers, and returns how many. Any number of instances may call it at once.
func (s *Store) RemoveDeadInstances(ctx context.Context, olderThan time.Duration) (int, error) {
	done, err := s.pool.Exec(ctx, `DELETE FROM web_instances WHERE instance IN (
		SELECT instance FROM web_instances WHERE last_heartbeat < clock_timestamp() - make_interval(secs => $1) FOR UPDATE SKIP LOCKED)`,
		olderThan.Seconds())
	return int(done.RowsAffected()), failed("forget dead web instances", err)
}

// Instances lists the live instances, oldest first.
func (s *Store) Instances(ctx context.Context) ([]Instance, error) {
	rows, err := s.pool.Query(ctx, `SELECT instance, started_at, last_heartbeat FROM web_instances ORDER BY started_at, instance`)
	if err != nil {
		return nil, failed("list the web instances", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Instance, error) {
		var i Instance
		err := row.Scan(&i.ID, &i.StartedAt.Time, &i.LastHeartbeat.Time)
		return i, err
	})
	return list, failed("list the web instances", err)
}

// RecordConnections records an instance's report, all or nothing, and returns the places of the
// connected ones by id. It fails with [ErrInstanceGone] if there was no [Store.Heartbeat] of the
// instance, or it was given up since.
func (s *Store) RecordConnections(ctx context.Context, instance string, c ConnectionChanges) (map[string]ConnectOrder, error) {
	if slices.ContainsFunc(c.Connected, func(c Connection) bool { return c.Order.At.IsZero() }) {
		clock, err := s.clock(ctx)
		if err != nil {
			return nil, err
		}
		c.Connected = slices.Clone(c.Connected)
		for i := range c.Connected {
			if place := &c.Connected[i].Order; place.At.IsZero() {
				place.At = clock(c.Connected[i].ConnectedAt.Time)
			}
		}
	}
	places := make(map[string]ConnectOrder, len(c.Connected))
	b := &pgx.Batch{} // one transaction, even without BEGIN
	if len(c.Connected) > 0 {
		if err := queueConnections(b, clean(instance), c.Connected, places); err != nil {
			return nil, err
		}
	}
	if len(c.Disconnected) > 0 {
		b.Queue(`DELETE FROM active_connections WHERE id = ANY ($1)`, c.Disconnected)
	}
	queueViewers(b, clean(instance), c)
	if b.Len() == 0 {
		return places, nil
	}
	err := s.pool.SendBatch(ctx, b).Close()
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == sqlForeignKeyViolation {
		return nil, ErrInstanceGone
	}
	return places, failed("record connections", err)
}

// clock reads the database's clock. It returns a function from a time of this process to that clock; the zero time
// means now. A slow answer does not make the result later.
func (s *Store) clock(ctx context.Context) (func(time.Time) time.Time, error) {
	const (
		tries  = 5
		enough = 5 * time.Millisecond // a round trip this short is precise enough
	)
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, failed("read the time", err)
	}
	defer conn.Release()
	var here, there time.Time // the same moment, within half of took
	for took, n := time.Duration(math.MaxInt64), 0; n < tries && took > enough; n++ {
		var said time.Time
		asked := time.Now()
		if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&said); err != nil {
			return nil, failed("read the time", err)
		}
		if d := time.Since(asked); d < took {
			took, here, there = d, asked.Add(d/2), said
		}
	}
	return func(t time.Time) time.Time {
		if t.IsZero() {
			t = time.Now()
		}
		return there.Add(t.Sub(here))
	}, nil
}

func queueConnections(b *pgx.Batch, instance string, list []Connection, places map[string]ConnectOrder) error {
	var (
		ids, clients, sessions, users, addresses []string
		made                                     []time.Time
		order, lags                              []int64
		silences                                 []float64
	)
	for i := range list {
		c := &list[i]
		if c.SessionID != "" && !schema.ValidID(c.SessionID) {
			return noSession(c.SessionID)
		}
		ids = append(ids, clean(c.ID))
		made = append(made, c.Order.At)
		order = append(order, c.Order.Number)
		clients = append(clients, clean(c.ClientID))
		sessions = append(sessions, c.SessionID)
		users = append(users, clean(c.User))
		addresses = append(addresses, clean(c.Address))
		silences = append(silences, age(c.LastActivity))
		lags = append(lags, c.Lag)
	}
	b.Queue(`INSERT INTO active_connections (id, number, client_id, session_id, user_name, address, server_instance, connected_at, last_activity, lag)
		SELECT c.id, COALESCE(NULLIF(c.number, 0), nextval('connection_numbers')), c.client, NULLIF(c.session, '')::uuid, c.user_name, c.address, $1,
		       c.made, clock_timestamp() - make_interval(secs => c.silence), c.lag
		  FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::float8[], $10::bigint[])
		       AS c (id, number, client, session, user_name, address, made, silence, lag)
		ON CONFLICT (id) DO UPDATE SET session_id = EXCLUDED.session_id, last_activity = EXCLUDED.last_activity,
		       lag = EXCLUDED.lag, last_heartbeat = clock_timestamp()
		RETURNING id, connected_at, number`, instance, ids, order, clients, sessions, users, addresses, made, silences, lags).
		Query(func(rows pgx.Rows) error {
			var (
				id    string
				place ConnectOrder
			)
			_, err := pgx.ForEachRow(rows, []any{&id, &place.At, &place.Number}, func() error {
				places[id] = place
				return nil
			})
			return err
		})
	return nil
}

// age is the number of seconds since a time; the zero time is now.
func age(t schema.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t.Time).Seconds()
}

// Connections lists every recorded connection, oldest first.
func (s *Store) Connections(ctx context.Context) ([]Connection, error) {
	rows, err := s.pool.Query(ctx, `SELECT c.id, c.number, c.client_id, COALESCE(c.session_id::text, ''), c.user_name, c.address, c.server_instance,
		       c.connected_at, c.last_activity, c.last_heartbeat, c.lag,
		       ARRAY(SELECT x::text FROM (SELECT c.session_id UNION SELECT v.session_id FROM viewers v WHERE v.connection_id = c.id) s (x)
		              WHERE x IS NOT NULL ORDER BY 1)
		  FROM active_connections c ORDER BY c.connected_at, c.number`)
	if err != nil {
		return nil, failed("list connections", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Connection, error) {
		var c Connection
		err := row.Scan(&c.ID, &c.Order.Number, &c.ClientID, &c.SessionID, &c.User, &c.Address, &c.ServerInstance,
			&c.ConnectedAt.Time, &c.LastActivity.Time, &c.LastHeartbeat.Time, &c.Lag, &c.Sessions)
		c.Order.At = c.ConnectedAt.Time
		return c, err
	})
	return list, failed("list connections", err)
}

// newer is the condition that the client of connection o has since connected to another instance. It ignores when each
// was recorded, which may be much later. Within one instance, the instance itself knows the order.
const newer = `o.client_id <> '' AND EXISTS (SELECT FROM active_connections n
	WHERE n.user_name = o.user_name AND n.client_id = o.client_id AND n.client_id <> '' AND n.server_instance <> o.server_instance
	  AND (n.connected_at, n.number) > (o.connected_at, o.number))`

// NotifyReplaced notifies all instances of connections that newer ones of the same client have
// replaced, for the clients of the given connections. Call it after recording them: if a client
// connects to two instances at the same time, at least the later call sees both.
func (s *Store) NotifyReplaced(ctx context.Context, connectionIDs []string) error {
	_, err := s.pool.Exec(ctx, `SELECT pg_notify($2, string_agg(r.id, ' ')) FROM (
		SELECT x.id, row_number() OVER () / 200 AS part FROM (
			SELECT DISTINCT o.id FROM active_connections c JOIN active_connections o ON o.user_name = c.user_name AND o.client_id = c.client_id
			 WHERE c.id = ANY ($1) AND `+newer+`) x) r
		GROUP BY r.part`, connectionIDs, channelReplaced)
	return failed("tell of replaced connections", err)
}

// Replaced lists an instance's connections that newer ones of the same client have replaced.
func (s *Store) Replaced(ctx context.Context, instance string) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT o.id FROM active_connections o WHERE o.server_instance = $1 AND `+newer, clean(instance))
	if err != nil {
		return nil, failed("list replaced connections", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, failed("list replaced connections", err)
}
