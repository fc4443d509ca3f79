package supervisor

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// kept runs pieces through a filter and returns what was passed on. "⏲" releases the filter.
func kept(pieces ...string) (text string, told []string) {
	var b strings.Builder
	f := &filter{text: func(p []byte) { b.Write(p) }, progress: func(p Progress) {
		at := "-"
		if p.Progress != nil {
			at = fmt.Sprint(*p.Progress)
		}
		told = append(told, at+" "+p.Note)
	}}
	for _, piece := range pieces {
		if piece == "⏲" {
			f.release()
			continue
		}
		f.take([]byte(piece))
	}
	f.release()
	return b.String(), told
}

func TestFilter_TakesDirectivesOutOfTheOutput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, text, told string }{
		{"plain", "a\nb\n", "a\nb\n", ""},
		{"alone", "##holdfast progress=0.5\n", "", "0.5 "},
		{"between lines", "a\n##holdfast progress=0.42 note=\"so \\\"far\\\"\"\nb\n", "a\nb\n", `0.42 so "far"`},
		{"a note alone", "##holdfast note=fitting\n", "", "- fitting"},
		{"beyond the ends", "##holdfast progress=7\n##holdfast progress=-1\n", "", "1 |0 "},
		{"within a line", "x ##holdfast progress=1\n", "x ##holdfast progress=1\n", ""},
		{"not understood", "##holdfast progress=half\n##holdfast\n##holdfast x=1\n##other\n", "##holdfast progress=half\n##holdfast\n##holdfast x=1\n##other\n", ""},
		{"without an end", "##holdfast progress=1", "##holdfast progress=1", ""},
		{"a heading", "# a\n## b\n#\n##\n", "# a\n## b\n#\n##\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for size := 1; size <= len(c.in); size++ {
				var pieces []string
				for rest := c.in; rest != ""; rest = rest[min(size, len(rest)):] {
					pieces = append(pieces, rest[:min(size, len(rest))])
				}
				text, told := kept(pieces...)
				if text != c.text || strings.Join(told, "|") != c.told {
					t.Fatalf("in pieces of %d: %q, told %q", size, text, told)
				}
			}
		})
	}
}

func TestFilter_KeepsOfAProgressBarWhatCanBeSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		pieces []string
		want   string
	}{
		{"a bar", []string{"10%\r", "20%\r", "30%\r", "done\n"}, "done\n"},
		{"a bar that starts with the return", []string{"\r10%", "\r20%", "\r30%", "\nnext\n"}, "30%\nnext\n"},
		{"between releases", []string{"10%\r20%", "⏲", "\r30%\r40%\r", "⏲", "\r50%\n"}, "20%\r40%\r50%\n"},
		{"a shorter one shows the rest of the longer", []string{"abcdef\rxy\n"}, "abcdef\rxy\n"},
		{"one that erases", []string{"abcdef\rxy\x1b[K\n"}, "xy\x1b[K\n"},
		{"with colours", []string{"\x1b[32m10%\x1b[0m\r\x1b[32m20%\x1b[0m\n"}, "\x1b[32m20%\x1b[0m\n"},
		{"colours that go on", []string{"\x1b[32m10%\r20%\n"}, "\x1b[32m10%\r20%\n"},
		{"lines that end as in DOS", []string{"a\r\nb\r", "\nc\r\n"}, "a\r\nb\r\nc\r\n"},
		{"behind what was passed on", []string{"get ", "10%\r20%\r30%\r\n"}, "get 10%\r30%\r\n"},
		{"a cursor that moves", []string{"10%\x1b[5C|\r20%\n"}, "10%\x1b[5C|\r20%\n"},
		{"nothing after it", []string{"10%\r20%\r"}, "20%"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if text, _ := kept(c.pieces...); text != c.want {
				t.Fatalf("%q, want %q", text, c.want)
			}
		})
	}
}

// On a terminal, the kept text looks like what was printed, however it was split into pieces.
func TestFilter_ChangesNothingThatCanBeSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.StringOfN(rapid.SampledFrom([]rune("ab#\r\n \r\n⏲é")), 1, 8, -1)).Draw(t, "pieces")
		in := pieces[:0]
		for _, p := range pieces {
			if p = strings.ReplaceAll(p, "⏲", ""); p == "" {
				p = "⏲"
			}
			in = append(in, p)
		}
		text, _ := kept(in...)
		printed := strings.ReplaceAll(strings.Join(in, ""), "⏲", "")
		if got, want := screen(text), screen(printed); got != want {
			t.Fatalf("%q is kept as %q, which shows %q instead of %q", printed, text, got, want)
		}
		if strings.Count(text, "\n") != strings.Count(printed, "\n") {
			t.Fatalf("%q is kept as %q", printed, text)
		}
	})
}

// screen is what a terminal of any width shows.
func screen(s string) string {
	var lines []string
	var line []rune
	at := 0
	for _, r := range s {
		switch r {
		case '\n':
			lines, line, at = append(lines, strings.TrimRight(string(line), " ")), nil, 0
		case '\r':
			at = 0
		default:
			if at == len(line) {
				line = append(line, r)
			} else {
				line[at] = r
			}
			at++
		}
	}
	return strings.Join(append(lines, strings.TrimRight(string(line), " ")), "\n")
}

func FuzzFilter(f *testing.F) {
	f.Add("a\r\nb##holdfast progress=1\n", 3)
	f.Fuzz(func(t *testing.T, in string, size int) {
		if size < 1 || in == "" {
			return
		}
		var pieces []string
		for rest := in; rest != ""; rest = rest[min(size, len(rest)):] {
			pieces = append(pieces, rest[:min(size, len(rest))])
		}
		text, told := kept(pieces...)
		if strings.Count(text, "\n")+len(told) != strings.Count(in, "\n") {
			t.Fatalf("%q became %q", in, text)
		}
		if utf8.ValidString(in) && !strings.Contains(in, "\r") && len(told) == 0 && text != in {
			t.Fatalf("%q became %q", in, text)
		}
	})
}
