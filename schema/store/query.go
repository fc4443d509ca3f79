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
func openBun(pool *pgxpool.Pool) reader {
	db := stdlib.OpenDBFromPool(pool)
	db.SetMaxOpenConns(int(max(pool.Config().MaxConns/2, 1)))
	return reader{bun.NewDB(db, pgdialect.New()), db}
}

// reader starts bun's selects, over the pool or in a transaction.
type reader struct {
	*bun.DB

	conn bun.IConn
}

// in is the same reader in a transaction.
func (r reader) in(tx bun.Tx) reader { return reader{r.DB, tx.Tx} }

// selectWith starts a select whose text is always the same: args are its $1, $2 and so on. Postgres parses and plans it
// once per connection, like what pgx runs.
func (r reader) selectWith(args ...any) *bun.SelectQuery {
	return r.NewSelect().Conn(bound{r.conn, args})
}

// selectList starts a select into whose text bun writes the values of filters, for each ?. No two are alike, so none is
// prepared: they would only push other statements out of each connection's cache.
func (r reader) selectList() *bun.SelectQuery {
	return r.selectWith(pgx.QueryExecModeExec)
}

// bound adds arguments to a statement, which bun itself cannot. The first may be a [pgx.QueryExecMode].
type bound struct {
	bun.IConn

	args []any
}

func (b bound) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.IConn.QueryContext(ctx, query, slices.Concat(b.args, args)...)
}
