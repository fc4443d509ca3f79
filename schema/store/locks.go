package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// txLock is an advisory lock held by a transaction of its own. A session-level lock would stay with whichever
// connection a pooler had lent for the statement, and be released through another. The transaction has no snapshot and
// no transaction id: it blocks neither vacuum nor anybody else.
type txLock struct{ tx pgx.Tx }

// lockIn takes the lock with a statement that says whether it got it; nil means that it did not.
func lockIn(ctx context.Context, conn *pgx.Conn, statement string, key int64) (*txLock, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	lock := &txLock{tx}
	// The transaction idles while work is done on other connections.
	_, err = tx.Exec(ctx, `SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')`)
	// By the simple protocol: the extended one would leave a snapshot open until the transaction ends.
	var got bool
	if err == nil {
		err = tx.QueryRow(ctx, statement, pgx.QueryExecModeSimpleProtocol, key).Scan(&got)
	}
	if err != nil || !got {
		lock.release(ctx)
		return nil, err
	}
	return lock, nil
}

// release releases the lock. If it cannot, Postgres does so when the caller closes the connection.
func (l *txLock) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = l.tx.Rollback(ctx)
}

// closeConn closes a connection that is not from the pool.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}
