package logs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/logs"
)

func record(t *testing.T, do func(ctx context.Context, log *slog.Logger)) map[string]any {
	t.Helper()
	var b bytes.Buffer
	ctx := logs.With(t.Context(), logs.Session("s1"), logs.Run("r1"))
	do(ctx, logs.New(&b, logs.FormatAuto, slog.LevelInfo))
	var m map[string]any
	if err := json.Unmarshal(b.Bytes(), &m); err != nil {
		t.Fatalf("not one JSON record: %v: %q", err, b.String())
	}
	return m
}

func TestNew_AddsTheContextsAttributes(t *testing.T) {
	t.Parallel()
	m := record(t, func(ctx context.Context, log *slog.Logger) {
		ctx = logs.With(ctx, logs.Step("plot"), logs.Attempt(2))
		log.InfoContext(ctx, "step started", slog.Duration("took", 1500*time.Millisecond), logs.Err(errors.New("oops")))
	})
	for key, want := range map[string]any{
		"session_id": "s1", "run_id": "r1", "step_id": "plot", "attempt": 2.0,
		"msg": "step started", "level": "INFO", "took": "1.5s", "error": "oops",
	} {
		if m[key] != want {
			t.Errorf("%s = %v, want %v", key, m[key], want)
		}
	}
	if at, _ := m["time"].(string); !strings.HasSuffix(at, "Z") || len(at) != len("2026-01-02T15:04:05.000Z") {
		t.Errorf("time = %q, want UTC with milliseconds", at)
	}
}

func TestHandler_ARecordsOwnAttributeWins(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := logs.New(&b, logs.FormatJSON, slog.LevelInfo)
	ctx := logs.With(t.Context(), logs.Session("from context"), logs.Run("from context"))
	log.With(logs.Session("from logger")).InfoContext(ctx, "x", logs.KeyRun, "from record")
	if got := b.String(); strings.Contains(got, "from context") || strings.Count(got, "session_id") != 1 || strings.Count(got, "run_id") != 1 {
		t.Errorf("got %s", got)
	}
}

func TestWith_ReplacesAndLeavesTheParentAlone(t *testing.T) {
	t.Parallel()
	parent := logs.With(t.Context(), logs.Session("a"))
	child := logs.With(parent, logs.Session("b"), logs.Step("s"))
	if got := logs.Attrs(parent); len(got) != 1 || got[0].Value.String() != "a" {
		t.Errorf("parent = %v", got)
	}
	if got := logs.Attrs(child); len(got) != 2 || got[0].Value.String() != "b" {
		t.Errorf("child = %v", got)
	}
}

func TestNew_KeepsTheLevelAndTheFormat(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := logs.New(&b, logs.FormatText, slog.LevelWarn)
	log.Info("quiet")
	log.WithGroup("g").WarnContext(logs.With(t.Context(), logs.Session("s")), "loud", "k", 1)
	if got := b.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "msg=loud g.k=1 g.session_id=s") {
		t.Errorf("got %q", got)
	}
}

func TestHandler_NamesNoAttributeTwice(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := logs.New(&b, logs.FormatJSON, slog.LevelInfo).With(logs.KeyComponent, "web").With("k", 1).With(logs.KeyComponent, "feed")
	log.Info("x", "k", 2, "k", 3)
	got := b.String()
	if strings.Count(got, `"component"`) != 1 || !strings.Contains(got, `"component":"feed"`) || strings.Count(got, `"k"`) != 1 || !strings.Contains(got, `"k":3`) {
		t.Errorf("got %s", got)
	}
}

func TestHandler_KeepsTheLoggersAttributesBeforeAGroup(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	logs.New(&b, logs.FormatText, slog.LevelInfo).With("a", 1).WithGroup("g").With("b", 2).Info("x", "c", 3)
	if got := b.String(); !strings.Contains(got, "a=1 g.b=2 g.c=3") {
		t.Errorf("got %s", got)
	}
}
