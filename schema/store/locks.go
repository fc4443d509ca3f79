package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// txLock is an advisory lock that a transaction of its own holds. A lock of a session would stay with whichever
// connection a pooler had lent for the statement, and be given back by another. The transaction has no snapshot and no
// number: it holds up neither vacuum nor anybody else.
type txLock struct{ tx pgx.Tx }

// lockIn takes the lock by a statement that answers whether it got it; nil says that it did not.
func lockIn(ctx context.Context, conn *pgx.Conn, statement string, key int64) (*txLock, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	lock := &txLock{tx}
	// It waits for the work that is done meanwhile on other connections.
	_, err = tx.Exec(ctx, `SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')`)
	// By the simple protocol: what the extended one leaves open keeps its snapshot until the transaction ends.
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

// release gives the lock back; when it cannot, Postgres does so with the connection, which the caller closes.
func (l *txLock) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = l.tx.Rollback(ctx)
}

// hangUp closes a connection that is not the pool's.
func hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}
