package web

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema/store"
)

func TestFigures_AreKeptForAWhileAndTheirFailureIsSaidOnce(t *testing.T) {
	t.Parallel()
	var (
		b      bytes.Buffer
		failed error
		reads  int
	)
	f := figures{log: logs.New(&b, logs.FormatJSON, slog.LevelInfo), read: func(context.Context) (store.Figures, error) {
		reads++
		return store.Figures{}, failed
	}}
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		err   error
		there bool
		reads int
	}{
		{0, errors.New("away"), false, 1}, // none yet
		{figuresAge, nil, true, 2},
		{time.Second, nil, true, 2},
		{figuresAge, errors.New("away"), true, 3},
		{figuresAge, errors.New("away"), true, 4},
		{figuresKept, errors.New("away"), false, 5},
		{figuresAge, nil, true, 6},
	} {
		now, failed = now.Add(step.after), step.err
		if got := f.count(t.Context(), now); (got != nil) != step.there || reads != step.reads {
			t.Errorf("%+v: figures %v after %d reads", step, got, reads)
		}
	}
	if lost, found := strings.Count(b.String(), "cannot be counted"), strings.Count(b.String(), "counted again"); lost != 2 || found != 2 {
		t.Errorf("said %d times that it fails, %d times that it works, for two failures:\n%s", lost, found, &b)
	}
}
