package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast/holdfast/schema"
)

// SQLSTATE codes that need separate handling; see Appendix A of the Postgres manual.
const (
	sqlUniqueViolation = "23505"
	sqlUndefinedTable  = "42P01"
	sqlUndefinedFunc   = "42883"

	sqlForeignKeyViolation = "23503"
)

// failed turns a driver's error into a [schema.Error]; nil and errors that already are one stay as
// they are. op completes "the database could not …".
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	if lost, ok := errors.AsType[*RangeError](err); ok {
		return lost
	}
	if known, ok := errors.AsType[*schema.Error](err); ok {
		return known
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case refused.Code == sqlUndefinedTable || refused.Code == sqlUndefinedFunc:
			return schema.Wrap(schema.CodeUnavailable, err, "the database does not have this version's tables; run holdfast migrate up")
		case transient(refused.Code):
			return unavailable(err)
		case unstorable(refused.Code):
			return schema.Wrap(schema.CodeInvalid, err, "the database cannot hold this: "+refused.Message)
		case strings.HasPrefix(refused.Code, "23"): // an integrity constraint: something exists already, or does not exist
			return schema.Wrap(schema.CodeConflict, err, "conflict with existing data; the database could not "+op)
		default:
			return schema.Wrap(schema.CodeInternal, err, "the database could not "+op)
		}
	}
	if connectionLost(err) {
		return unavailable(err)
	}
	return schema.Wrap(schema.CodeInternal, err, "the database could not "+op)
}

func unavailable(err error) error {
	return schema.Wrap(schema.CodeUnavailable, err, "the database is not available; try again")
}

// transient reports whether the same statement may succeed later: connection trouble (08), a conflict between
// transactions (40), too few resources (53), a shutdown or start (57P), a cancelled statement (57014), a lock that was
// not available (55P03) or a server that has become a standby (25006).
func transient(code string) bool {
	for _, class := range []string{"08", "40", "53", "57P"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	switch code {
	case "57014", "55P03", "25006":
		return true
	default:
		return false
	}
}

// unstorable reports whether Postgres refuses the data itself, so that retrying is no use: text, JSON or a number that
// a column does not take (22), or something too long, too large or nested too deep (54).
func unstorable(code string) bool {
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "54")
}

func connectionLost(err error) bool {
	for _, lost := range []error{
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn,
		pgconn.ErrConnClosed, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	// What the pool and database/sql say after Close is not exported, or in a package that we do not depend on.
	return pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		strings.HasSuffix(err.Error(), "closed pool") || strings.HasSuffix(err.Error(), "database is closed")
}

func isUnique(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.Code == sqlUniqueViolation
}

func noSession(id string) error {
	return schema.Errorf(schema.CodeNotFound, "there is no session %q", id)
}

func noRun(id string) error { return schema.Errorf(schema.CodeNotFound, "there is no run %q", id) }

func noApproval(id string) error {
	return schema.Errorf(schema.CodeNotFound, "there is no approval %q", id)
}

// RangeError says that part of a log cannot be read, however often one tries: its storage is missing or damaged. It
// wraps a [schema.Error] of code [schema.CodeRange].
type RangeError struct {
	From, To int64 // first and last seq
	cause    *schema.Error
}

// Error implements error.
func (e *RangeError) Error() string { return e.cause.Error() }

// Unwrap gives the cause to errors.Is and errors.As.
func (e *RangeError) Unwrap() error { return e.cause }

func lostRange(from, to int64, cause error) *RangeError {
	message := "events " + strconv.FormatInt(from, 10) + " to " + strconv.FormatInt(to, 10) + " of this log cannot be read: what holds them is missing or damaged"
	return &RangeError{From: from, To: to, cause: &schema.Error{Code: schema.CodeRange, Message: message, Cause: cause}}
}
