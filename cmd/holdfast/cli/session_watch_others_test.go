package cli

import (
	"strings"
	"testing"
)

func TestWatch_SaysOnATerminalWhoElseWatches(t *testing.T) {
	t.Parallel()
	tell := func(tty, json bool) string {
		v, shown := newTestView(tty)
		w := &watch{view: v, json: json}
		w.Others([]string{"ben", "e\x1bve"})
		w.Others([]string{"a", "b", "c", "d", "e", "f", "g"})
		w.Others(nil)
		return shown.String()
	}
	got := tell(true, false)
	for _, want := range []string{"also watching: ben, e", "also watching: a, b, c, d, e and 2 more", "nobody else is watching now"} {
		if !strings.Contains(got, want) {
			t.Errorf("a terminal shows %q, want %q in it", got, want)
		}
	}
	if strings.Contains(got, "e\x1bve") {
		t.Errorf("a name reached the terminal as it is: %q", got)
	}
	if got := tell(false, false) + tell(true, true); got != "" {
		t.Errorf("a file or a program reads %q, want nothing", got)
	}
}
