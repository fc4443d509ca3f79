package worker

import (
	"context"
	"errors"
	"log/slog"

	"go.temporal.io/api/serviceerror"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TemporalLogger makes the Temporal SDK log through slog. Its warnings about normal operation
// become debug lines: a cancel, a worker that ends, a heartbeat for something that has just ended.
// A line at WARN or above is for somebody to look at.
func TemporalLogger(l *slog.Logger) sdklog.Logger {
	return &temporalLogger{sdklog.NewStructuredLogger(l)}
}

type temporalLogger struct{ sdklog.Logger }

var (
	_ sdklog.WithLogger      = (*temporalLogger)(nil)
	_ sdklog.WithSkipCallers = (*temporalLogger)(nil)
)

// Warn implements log.Logger.
func (l *temporalLogger) Warn(msg string, keyvals ...any) {
	if isUsual(keyvals) {
		l.Debug(msg, keyvals...)
		return
	}
	l.Logger.Warn(msg, keyvals...)
}

// Error implements log.Logger.
func (l *temporalLogger) Error(msg string, keyvals ...any) {
	if isUsual(keyvals) {
		l.Debug(msg, keyvals...)
		return
	}
	l.Logger.Error(msg, keyvals...)
}

// With implements log.WithLogger.
func (l *temporalLogger) With(keyvals ...any) sdklog.Logger {
	return &temporalLogger{sdklog.With(l.Logger, keyvals...)}
}

// WithCallerSkip implements log.WithSkipCallers.
func (l *temporalLogger) WithCallerSkip(depth int) sdklog.Logger {
	return &temporalLogger{sdklog.Skip(l.Logger, depth)}
}

// workerStopping is what the SDK's pollers report when their worker ends; that error has no name.
const workerStopping = "worker stopping"

// isUsual reports whether a line is only about an end: something was cancelled, or is already over.
func isUsual(keyvals []any) bool {
	for _, v := range keyvals {
		err, ok := v.(error)
		if !ok {
			continue
		}
		_, over := errors.AsType[*serviceerror.NotFound](err)
		_, cancelled := errors.AsType[*serviceerror.Canceled](err)
		if over || cancelled || temporal.IsCanceledError(err) || errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled || err.Error() == workerStopping {
			return true
		}
	}
	return false
}
