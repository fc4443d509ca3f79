package terminal_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
)

func TestCleaner_KeepsColoursAndDropsWhatActsOnTheTerminal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, kept, plain string }{
		"colour":               {"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m", "red"},
		"true colour":          {"\x1b[38:2::1:2:3mx", "\x1b[38:2::1:2:3mx", "x"},
		"progress bar":         {"\r\x1b[K50 %", "\r\x1b[K50 %", "\r50 %"},
		"within the line":      {"a\x1b[3Db\x1b[2Cc\x1b[1G\b", "a\x1b[3Db\x1b[2Cc\x1b[1G\b", "abc"},
		"clipboard (OSC 52)":   {"a\x1b]52;c;cm0gLXJm\x07b", "ab", "ab"},
		"title, ended by ST":   {"a\x1b]0;owned\x1b\\b", "ab", "ab"},
		"hyperlink (OSC 8)":    {"\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\", "here", "here"},
		"device control":       {"a\x1bPq#0\x1b\\b", "ab", "ab"},
		"report request":       {"a\x1b[6nb\x1b[cd", "abd", "abd"},
		"clear and home":       {"\x1b[2J\x1b[Hx", "x", "x"},
		"cursor up":            {"\x1b[5Ax", "x", "x"},
		"alternate screen":     {"\x1b[?1049hx\x1b[?25l", "x", "x"},
		"private colour":       {"\x1b[>4;1mx", "x", "x"},
		"reset":                {"\x1bcx\x1b(0y", "xy", "xy"},
		"8-bit controls":       {"a\u009b31mb\u009d0;t\u009cc\u0085d", "a\x1b[31mbcd", "abcd"},
		"bell and others":      {"a\x07\x00\x0e\x7fb", "ab", "ab"},
		"bidirectional tricks": {"a\u202eb\u2066c\u061cd", "abcd", "abcd"},
		"an open string":       {"\x1b]0;no end\nnext line", "\nnext line", "\nnext line"},
		"broken off":           {"\x1b[31\nx", "\nx", "\nx"},
		"text":                 {"tab\tüñ Ω 🙂\n", "tab\tüñ Ω 🙂\n", "tab\tüñ Ω 🙂\n"},
	} {
		if got := (&terminal.Cleaner{Keep: true}).Clean(c.in); got != c.kept {
			t.Errorf("%s: kept %q, want %q", name, got, c.kept)
		}
		if got := new(terminal.Cleaner).Clean(c.in); got != c.plain {
			t.Errorf("%s: plain %q, want %q", name, got, c.plain)
		}
		// The same, cut anywhere.
		one := &terminal.Cleaner{Keep: true}
		var b bytes.Buffer
		for _, r := range c.in {
			b.WriteString(one.Clean(string(r)))
		}
		if b.String() != c.kept {
			t.Errorf("%s, cut into pieces: %q, want %q", name, b.String(), c.kept)
		}
	}
}

func TestCleaner_LetsColoursAloneThrough(t *testing.T) {
	t.Parallel()
	in := "\x1b[1;31mred\x1b[0m\x1b[1G\x1b[K\x1b[3D\x1b[9C\b\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\\x1bc\x05\x07"
	if got, want := (&terminal.Cleaner{Colours: true}).Clean(in), "\x1b[1;31mred\x1b[0mlink"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzCleaner_LetsNoEscapeThroughWhenPlain(f *testing.F) {
	f.Add("\x1b]52;c;x\x07", "\x1b[31m")
	f.Fuzz(func(t *testing.T, a, b string) {
		c := new(terminal.Cleaner)
		for _, r := range c.Clean(a) + c.Clean(b) {
			if r == 0x1b || (r < 0x20 && r != '\n' && r != '\r' && r != '\t') || (r >= 0x7f && r < 0xa0) {
				t.Fatalf("%U came through", r)
			}
		}
	})
}

func TestClean_IsOneLine(t *testing.T) {
	t.Parallel()
	if got := terminal.Clean(" a\n\x1b[31mb\x1b[0m\r\n c "); got != "a b c" {
		t.Errorf("got %q", got)
	}
	for in, want := range map[string]string{"10 %\r20 %\r": "20 %", "plain": "plain", "a\rb": "b", "": ""} {
		if got := terminal.LastWritten(in); got != want {
			t.Errorf("LastWritten(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTable_IsAlignedWithAndWithoutColour(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		style := terminal.Style{On: on}
		table := terminal.Table{Header: []string{"ID", "STATUS", "N"}}
		table.Add("1", terminal.Cell{Text: "läuft", Paint: style.Green}, 3)
		table.Add("22222", "x", "")
		var b bytes.Buffer
		if err := table.Write(&b, style); err != nil {
			t.Fatal(err)
		}
		want := "ID     STATUS  N\n1      läuft   3\n22222  x       \n"
		if got := terminal.CleanLines(b.String()); got != want {
			t.Errorf("colour %t: got\n%s want\n%s", on, got, want)
		}
		if on != bytes.Contains(b.Bytes(), []byte("\x1b[32m")) {
			t.Errorf("colour %t: got %q", on, b.String())
		}
	}
}

func TestSpanAgoAndBytes_ReadWell(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 320 * time.Millisecond: "320ms", 4200 * time.Millisecond: "4.2s", 5 * time.Second: "5s", 59990 * time.Millisecond: "59.9s",
		190 * time.Second: "3m 10s", 2 * time.Hour: "2h", 125 * time.Minute: "2h 5m", 76 * time.Hour: "3d 4h",
	} {
		if got := terminal.Span(d); got != want {
			t.Errorf("Span(%s) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "just now", -time.Minute: "just now", 40 * time.Second: "40s ago", 90 * time.Minute: "1h ago", 72 * time.Hour: "3d ago"} {
		if got := terminal.Ago(now.Add(-d), now); got != want {
			t.Errorf("Ago(%s) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1400: "1.4 kB", 23_000_000: "23 MB", 999_600: "1.0 MB"} {
		if got := terminal.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	if got := terminal.Short("abcdef", 4); got != "abc…" {
		t.Errorf("Short = %q", got)
	}
}
