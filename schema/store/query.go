package store

import (
	"context"
	"database/sql"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// openBun makes bun build selects over the store's pool. It uses at most half of the connections, so that lists cannot
// hold up writes.
func openBun(pool *pgxpool.Pool) *bun.DB {
	db := stdlib.OpenDBFromPool(pool)
	db.SetMaxOpenConns(int(max(pool.Config().MaxConns/2, 1)))
	return bun.NewDB(db, pgdialect.New())
}

// selectWith starts a select whose text is always the same: args are its $1, $2 and so on. Postgres parses and plans it
// once per connection, like what pgx runs.
func (s *Store) selectWith(args ...any) *bun.SelectQuery {
	return s.db.NewSelect().Conn(bound{s.db.DB, args})
}

// selectList starts a select into whose text bun writes the values of filters, for each ?. No two are alike, so none is
// prepared: they would only push other statements out of each connection's cache.
func (s *Store) selectList() *bun.SelectQuery {
	return s.selectWith(pgx.QueryExecModeExec)
}

// bound adds arguments to a statement, which bun itself cannot. The first may be a [pgx.QueryExecMode].
type bound struct {
	*sql.DB

	args []any
}

func (b bound) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.DB.QueryContext(ctx, query, slices.Concat(b.args, args)...)
}
