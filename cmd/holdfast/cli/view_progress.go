package cli

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// progress is what a running step last reported.
type progress struct {
	schema.StepProgressData
	tenths int // tenths of the way already shown outside a terminal
}

// meter is the line at the bottom of a terminal that shows what running steps do. It is
// redrawn in place, and erased as soon as there is anything else to show.
type meter struct {
	shown bool
	drawn time.Time
}

// redrawn is the shortest time between two redraws: a log read from its start has one event
// for each second of each step.
const redrawn = 100 * time.Millisecond

// progressed shows how far a step has come: on a terminal in the meter; elsewhere, if the
// program reports progress, with a line for each tenth of the way.
func (v *view) progressed(e schema.Event) {
	d, ok := payload[schema.StepProgressData](e)
	if !ok {
		return
	}
	s := v.start(e.StepID)
	told := d.Progress != nil
	if !told && s.progress != nil {
		d.Progress = s.progress.Progress
		if d.Note == "" {
			d.Note = s.progress.Note
		}
	}
	p := &progress{StepProgressData: d}
	waited := ""
	if s.progress != nil && s.progress.Attempt == d.Attempt {
		p.tenths, waited = s.progress.tenths, s.progress.Waiting
	}
	s.progress = p
	if d.Waiting != "" && d.Waiting != waited {
		v.line(v.out, v.style.Dim("  "+s.id+" waits: "+terminal.Short(terminal.Clean(d.Waiting), 200)))
	}
	if v.tty {
		v.draw()
		return
	}
	if d.Progress == nil {
		return
	}
	if tenths := int(share(*d.Progress) * 10); tenths > p.tenths {
		p.tenths = tenths
		v.line(v.out, v.style.Dim("  "+s.id+": "+strings.Join(s.progress.words(), ", ")))
	}
}

// draw shows the meter, unless a program's or a person's line is being written, or it has just
// been drawn.
func (v *view) draw() {
	now := time.Now()
	if v.open != nil || now.Sub(v.meter.drawn) < redrawn {
		return
	}
	var running []*stepView
	for _, s := range v.steps {
		if s.running && s.progress != nil {
			running = append(running, s)
		}
	}
	if len(running) == 0 {
		return
	}
	slices.SortFunc(running, func(a, b *stepView) int { return a.number - b.number })
	parts := make([]string, 0, len(running))
	for _, s := range running {
		words := s.progress.words()
		if len(running) == 1 {
			words = append(words, s.progress.figures()...)
		}
		parts = append(parts, strings.TrimSuffix(s.id+" "+strings.Join(words, ", "), " "))
	}
	v.fresh()
	_, _ = io.WriteString(v.out, v.style.Dim(fit("  "+strings.Join(parts, "  ·  "), v.columns()-1)))
	v.meter = meter{shown: true, drawn: now}
}

// erase removes the meter.
func (v *view) erase() {
	if v.meter.shown {
		_, _ = io.WriteString(v.out, "\r\x1b[K")
		v.meter.shown = false
	}
}

func (v *view) columns() int {
	if v.screen > 0 {
		return v.screen
	}
	return terminal.Columns(v.out)
}

func share(p float64) float64 {
	if math.IsNaN(p) {
		return 0
	}
	return max(0, min(1, p))
}

const barWidth = 20

// words is the progress that the program reports.
func (p *progress) words() []string {
	var words []string
	if p.Progress != nil {
		done := share(*p.Progress)
		words = append(words, fmt.Sprintf("%3d %% ", int(done*100+1e-9))+strings.Repeat("█", int(done*barWidth))+strings.Repeat("░", barWidth-int(done*barWidth)))
	}
	if p.Waiting != "" {
		words = append(words, "waits")
	}
	if note := terminal.Clean(p.Note); note != "" {
		words = append(words, terminal.Short(note, 60))
	}
	return words
}

// figures is what the step's processes use now.
func (p *progress) figures() []string {
	words := []string{"cpu " + terminal.Span(seconds(p.CPUSeconds))}
	if p.RSSBytes > 0 {
		words = append(words, terminal.Bytes(p.RSSBytes))
	}
	words = append(words, counted(p.Processes, "process"))
	if p.ReadBytes > 0 {
		words = append(words, "read "+terminal.Bytes(p.ReadBytes))
	}
	if p.WriteBytes > 0 {
		words = append(words, "wrote "+terminal.Bytes(p.WriteBytes))
	}
	return words
}

// fit cuts a text to so many columns of a terminal, where many non-Latin characters take two.
func fit(text string, columns int) string {
	used := 0
	for i, r := range text {
		used++
		if r >= 0x1100 && (r < 0x2500 || r > 0x259f) {
			used++
		}
		if used > columns {
			return text[:i]
		}
	}
	return text
}

// reasons say why an attempt ended, where an exit code or a signal does not.
var reasons = map[schema.Reason]string{
	schema.ReasonTimeout:     "its time was over",
	schema.ReasonStart:       "it could not be started",
	schema.ReasonWorkerLost:  "its worker was lost",
	schema.ReasonSupervisor:  "its supervisor was lost",
	schema.ReasonHostLost:    "its host was lost",
	schema.ReasonOrphaned:    "no worker came back to it in time",
	schema.ReasonOutOfMemory: "it ran out of memory",
	schema.ReasonDiskQuota:   "it went over the disk quota",
	schema.ReasonProcesses:   "it started too many processes",
	schema.ReasonOutputLimit: "it printed more than is kept",
	schema.ReasonOutput:      "what it printed cannot be recorded",
	schema.ReasonSandbox:     "a layer of the sandbox is missing",
	schema.ReasonChanged:     "the plan has changed",
}

// reason is a reason in words.
func reason(r schema.Reason) string {
	if words, ok := reasons[r]; ok {
		return words
	}
	return strings.ReplaceAll(terminal.Clean(string(r)), "_", " ")
}

// lost reports whether an attempt ended because its supervisor, worker or host was lost, not because of its program.
func lost(r schema.Reason) bool {
	return slices.Contains([]schema.Reason{schema.ReasonWorkerLost, schema.ReasonSupervisor, schema.ReasonHostLost, schema.ReasonOrphaned}, r)
}
