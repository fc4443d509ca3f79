package disk

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func TestWatch_WarnsOnceWhileThereIsLittleRoom(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	room := int64(0)
	w := &Watch{Dir: "data", Low: 100 << 20, Log: slog.New(slog.NewTextHandler(&out, nil)), free: func(string) (int64, error) { return room, nil }}
	for _, look := range []struct {
		room  int64
		lines string
		low   bool
	}{
		{200 << 20, "", false},
		{99 << 20, "level=WARN", true},
		{50 << 20, "", true},
		{105 << 20, "", true}, // not yet enough to end the warning
		{111 << 20, "level=INFO", false},
		{101 << 20, "", false},
	} {
		out.Reset()
		room = look.room
		w.look()
		if got := out.String(); (look.lines == "") != (got == "") || !strings.Contains(got, look.lines) {
			t.Errorf("with %s: said %q, want %q", schema.Size(room), got, look.lines)
		}
		if (w.Now() != nil) != look.low {
			t.Errorf("with %s: %+v", schema.Size(room), w.Now())
		}
	}
}

func TestWatch_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := &Watch{Dir: t.TempDir(), Low: 1, Log: slog.New(slog.DiscardHandler)}
	w.Run(ctx)
	if w.Now() != nil {
		t.Errorf("one byte is too little: %+v", w.Now())
	}
}

func TestAttack_TheDataFolderIsForItsUserAlone(t *testing.T) {
	t.Parallel()
	lax := filepath.Join(t.TempDir(), "data")
	for _, mode := range []os.FileMode{0o755, 0o775, 0o750, 0o700} {
		if err := errors.Join(os.MkdirAll(lax, 0o700), os.Chmod(lax, mode), Private(lax)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(lax); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("a folder of mode %o is %v, %v", mode, info.Mode(), err)
		}
	}
	if err := errors.Join(os.Chmod(lax, 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	if err := Private(lax); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a folder that everybody may write to: %v", err)
	}
	foreign := t.TempDir()
	if os.Geteuid() != 0 {
		foreign = "/"
	} else if err := os.Chown(foreign, 4711, 4711); err != nil {
		t.Fatal(err)
	}
	if err := Private(foreign); !errors.Is(err, ErrNotOurs) {
		t.Errorf("another user's folder: %v", err)
	}
}
