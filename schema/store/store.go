package store

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast/holdfast/internal/testsignal"
	"github.com/holdfast/holdfast/schema"
)

// Timeouts and limits of the store's connections.
const (
	defaultMaxConns = 16
	connectTimeout  = 5 * time.Second
	rollbackTimeout = 2 * time.Second
)

// Options configures a store. The zero value of each field means its default.
type Options struct {
	MaxConns int          // at least 2; default 16. What bun reads uses at most half of them
	Logger   *slog.Logger // slog.Default()
	Archive  Archive      // stores old events; without it they cannot be read
	// Direct is an address of the same database that bypasses a pooler: for LISTEN, migrations and locks, which need
	// their own connection. Default: the store's own address.
	Direct  string
	Release string // of this program; migrations record it
	// Committed is called after each transaction of this store that has added events to a session's log or made a session,
	// once for each, with the context of the call. It should return soon.
	Committed func(ctx context.Context, c Committed)
}

// Store reads and writes a Holdfast database. Its methods are safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	db   reader // over pool
	log  *slog.Logger

	direct    *pgx.ConnConfig // for connections that keep state
	release   string
	committed func(ctx context.Context, c Committed)

	appends combiner
	archive Archive
	blocks  blockCache

	compactEvents int // per compaction step

	migrationWaits testsignal.Signal // another process migrates
}

// Open prepares a store. It fails with [schema.CodeInvalid] if the address cannot be understood; if
// Postgres is down, the first call that needs it fails. The caller closes the store.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	config, err := parseAddress(dsn)
	if err != nil {
		return nil, err
	}
	direct := config
	if o.Direct != "" {
		if direct, err = parseAddress(o.Direct); err != nil {
			return nil, err
		}
	}
	config.MaxConns = defaultMaxConns
	if o.MaxConns > 0 {
		config.MaxConns = int32(min(max(o.MaxConns, 2), 10_000))
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, failed("open the database", err)
	}
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	return &Store{
		pool: pool, db: openBun(pool), log: log, direct: direct.ConnConfig.Copy(), release: clean(o.Release),
		appends: combiner{pool: pool}, archive: o.Archive, committed: o.Committed, compactEvents: defaultCompactEvents,
	}, nil
}

func parseAddress(dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The cause contains no password, but it quotes the address: it is for the log.
		return nil, schema.Wrap(schema.CodeInvalid, err, "the database address is not one that Postgres understands; a valid one is postgres://user@host:5432/name")
	}
	config.ConnConfig.ConnectTimeout = connectTimeout
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "holdfast"
	}
	return config, nil
}

// Close waits for running calls and closes every connection.
func (s *Store) Close() {
	s.appends.running.Wait()
	_ = s.db.Close()
	s.pool.Close()
}

// Ping reports whether Postgres answers.
func (s *Store) Ping(ctx context.Context) error {
	return failed("ping the database", s.pool.Ping(ctx))
}

// clean makes a string fit for a text column.
func clean(text string) string {
	const replacement = "\uFFFD"
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", replacement)
	}
	return strings.ToValidUTF8(text, replacement)
}
