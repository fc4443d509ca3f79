package store

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast/holdfast/schema"
)

// Errors that cannot heal are final everywhere; others are retried.
func TestFailed_TellsWhatLastsFromWhatHeals(t *testing.T) {
	t.Parallel()
	for code, lasts := range map[string]bool{
		"22P02": true, "22021": true, "23503": true, "23514": true, "23505": true, "54000": true, "54001": true,
		"40001": false, "40P01": false, "53100": false, "53300": false, "57P03": false, "08006": false, "55P03": false, "42P01": false, "XX000": false,
	} {
		if err := failed("write", &pgconn.PgError{Code: code}); schema.IsPermanent(err) != lasts {
			t.Errorf("%s: %v lasts: %t", code, err, !lasts)
		}
	}
	for _, err := range []error{noSession("x"), noApproval("x"), attemptOver("a", 1)} {
		if !schema.IsPermanent(err) {
			t.Errorf("%v is tried again", err)
		}
	}
	if schema.IsPermanent(nil) || schema.IsPermanent(pgconn.ErrConnClosed) {
		t.Error("a lost connection lasts")
	}
}
