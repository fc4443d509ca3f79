package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// view shows a session's events. Output of a step that runs alone is shown as it comes; when
// several run, it is cut into lines that carry the step's id. The asker may use it at the same
// time.
type view struct {
	mu    sync.Mutex
	out   io.Writer // where the session is shown
	notes io.Writer // where notices and prompts go
	style terminal.Style
	tty   bool // out is a terminal that understands escape sequences: partial lines and moves within the line may pass
	plain bool // but no colours

	steps   map[string]*stepView
	files   map[string]int64 // files already shown, with their sizes
	width   int              // of the labels
	running int
	inRun   bool      // a run is under way, as far as seen
	open    io.Writer // the writer whose cursor is not at the start of a line, or nil
	asking  bool      // the cursor is behind a question
	painted bool      // a program has left its colours on
	meter   meter
	screen  int // columns of the terminal; 0 asks it
}

type stepView struct {
	id       string
	number   int
	running  bool
	progress *progress // nil until something is known
	clean    map[schema.Stream]*terminal.Cleaner
	partial  map[schema.Stream]string
}

// maxPartial bounds a line that does not end; a longer one is shown in pieces.
const maxPartial = 64 << 10

func newView(inv *invocation, json bool) *view {
	v := &view{out: inv.stdout, notes: inv.stdout, style: inv.style, steps: map[string]*stepView{}, files: map[string]int64{}}
	v.tty = terminal.IsTerminal(inv.stdout) && inv.env.Get("TERM") != terminal.Dumb
	v.plain = !v.style.On
	if json {
		v.notes, v.style = inv.stderr, terminal.StyleFor(inv.stderr, inv.env.Get)
	}
	return v
}

func (v *view) rawLine(raw []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, _ = v.out.Write(append(slices.Clip(raw), '\n'))
}

// notice reports on the watch itself, not the session.
func (v *view) notice(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line(v.notes, v.style.Dim("· "+terminal.Clean(text)))
}

// prompt shows a question and leaves the cursor behind it.
func (v *view) prompt(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fresh()
	_, _ = io.WriteString(v.notes, text)
	v.open, v.asking = v.notes, true
}

// answered ends the prompt's line. A person at a terminal has ended it already; an answer that
// nobody typed is shown.
func (v *view) answered(line string, typed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !typed && v.asking {
		_, _ = io.WriteString(v.notes, terminal.Clean(line)+"\n")
	}
	if typed || v.asking {
		v.open, v.asking = nil, false
	}
}

// say shows lines that are already safe and coloured.
func (v *view) say(lines ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range lines {
		v.line(v.notes, l)
	}
}

// hold keeps everything back until release is called: another program has the screen.
func (v *view) hold() (release func()) {
	v.mu.Lock()
	v.erase()
	v.open, v.asking = nil, false
	return v.mu.Unlock
}

func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.steps {
		v.flush(s)
	}
	v.fresh()
}

// fresh moves to the start of a line and resets colours that a program left on: it could hide
// what comes next with them.
func (v *view) fresh() {
	v.erase()
	w, end := v.out, ""
	if v.tty && (v.painted || v.open != nil) {
		end = "\x1b[0m"
	}
	if v.open != nil {
		w, end = v.open, end+"\n"
	}
	if end != "" {
		_, _ = io.WriteString(w, end)
	}
	v.open, v.painted, v.asking = nil, false, false
}

func (v *view) line(w io.Writer, text string) {
	v.fresh()
	_, _ = io.WriteString(w, text+"\n")
}

func (v *view) step(id string) *stepView {
	s := v.steps[id]
	if s == nil {
		s = &stepView{id: terminal.Clean(id), number: len(v.steps), clean: map[schema.Stream]*terminal.Cleaner{}, partial: map[schema.Stream]string{}}
		v.steps[id] = s
		v.width = max(v.width, len(s.id))
	}
	return s
}

func (v *view) start(id string) *stepView {
	s := v.step(id)
	if !s.running {
		s.running = true
		v.running++
	}
	return s
}

func (v *view) stop(id string) {
	s := v.step(id)
	v.flush(s)
	if s.running {
		s.running, s.progress = false, nil
		v.running--
	}
}

// output shows what a step printed.
func (v *view) output(id string, d schema.OutputData) {
	s := v.start(id)
	c := s.clean[d.Stream]
	if c == nil {
		c = &terminal.Cleaner{Keep: v.tty, Plain: v.plain}
		s.clean[d.Stream] = c
	}
	text := c.Clean(d.Text)
	if v.tty && v.running <= 1 {
		text = s.partial[d.Stream] + text
		s.partial[d.Stream] = ""
		if text != "" {
			if v.asking {
				v.fresh() // a carriage return must not overwrite the question
			}
			v.erase()
			_, _ = io.WriteString(v.out, text)
			v.open = nil
			v.painted = v.painted || strings.ContainsRune(text, 0x1b)
			if !strings.HasSuffix(text, "\n") {
				v.open = v.out
			}
		}
		return
	}
	text = s.partial[d.Stream] + text
	var lines strings.Builder
	for {
		line, rest, found := strings.Cut(text, "\n")
		if !found && len(text) < maxPartial {
			break
		}
		lines.WriteString(v.labelled(s, line))
		text = rest
	}
	s.partial[d.Stream] = text
	v.write(lines.String())
}

// write shows whole lines.
func (v *view) write(lines string) {
	if lines != "" {
		v.fresh()
		_, _ = io.WriteString(v.out, lines)
	}
}

// labelled is one line of a step, with its id when it is not the only step. Then only colours
// are kept of the program's escape sequences, so that it cannot fake another id.
func (v *view) labelled(s *stepView, line string) string {
	line = terminal.LastWritten(line)
	if v.tty && v.running > 1 {
		line = (&terminal.Cleaner{Colours: !v.plain}).Clean(line)
	}
	if v.tty && strings.ContainsRune(line, 0x1b) {
		line += "\x1b[0m"
	}
	if v.running > 1 {
		label := fmt.Sprintf("%-*s │ ", v.width, s.id)
		line = v.style.Nth(s.number, label) + line
	}
	return line + "\n"
}

func (v *view) flush(s *stepView) {
	for _, stream := range []schema.Stream{schema.Stdout, schema.Stderr} {
		if text := s.partial[stream]; text != "" {
			v.write(v.labelled(s, text))
			s.partial[stream] = ""
		}
		delete(s.clean, stream)
	}
}
