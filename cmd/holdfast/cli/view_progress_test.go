package cli

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/schema"
)

func tells(step string, done float64, note string) schema.Event {
	return event(schema.EventStepProgress, step, schema.StepProgressData{
		Attempt: 1, Progress: &done, Note: note, CPUSeconds: 12.5, RSSBytes: 130e6, ReadBytes: 1e6, WriteBytes: 2e6, Processes: 3,
	})
}

func starts(step string) schema.Event {
	return event(schema.EventStepStarted, step, schema.StepStartedData{Attempt: 1, Command: []string{"x"}})
}

func TestView_RewritesOneLineOfProgressOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v, b := newTestView(true)
		v.style.On = false
		v.event(starts("fit"))
		b.Reset()
		v.event(event(schema.EventStepProgress, "fit", schema.StepProgressData{Attempt: 1, CPUSeconds: 0.3, Processes: 1}))
		want := "  fit cpu 300ms, 1 process"
		v.event(tells("fit", 0.1, "too soon to be shown"))
		time.Sleep(time.Second)
		v.event(tells("fit", 0.42, "model\x1b[2J 3"))
		want += "\r\x1b[K  fit  42 % ████████░░░░░░░░░░░░, model 3, cpu 12.5s, 130 MB, 3 processes, read"
		v.event(printed("fit", "10 %\r"))
		want += "\r\x1b[K10 %\r"
		time.Sleep(time.Second)
		v.event(tells("fit", 0.5, "")) // its own line is being written
		v.event(printed("fit", "done\n"))
		want += "done\n"
		time.Sleep(time.Second)
		v.event(starts("plot"))
		want += "● plot  x\n"
		v.event(tells("plot", 1, ""))
		time.Sleep(time.Second)
		v.event(tells("plot", 1, ""))
		v.event(event(schema.EventStepCompleted, "plot", schema.StepCompletedData{DurationMS: 5}))
		v.end()
		two := "  fit  50 % ██████████░░░░░░░░░░  ·  plot 100 % ████████████████████"
		want += two + "\r\x1b[K" + two + "\r\x1b[K✓ plot  5ms\n"
		if b.String() != want {
			t.Errorf("got\n%q\nwant\n%q", b.String(), want)
		}
	})
}

func TestView_TellsEachTenthOfTheWayOutsideATerminal(t *testing.T) {
	t.Parallel()
	v, b := newTestView(false)
	v.event(starts("fit"))
	b.Reset()
	for i := range 100 {
		v.event(tells("fit", float64(i)/200, "half"))
	}
	v.event(event(schema.EventStepProgress, "fit", schema.StepProgressData{Attempt: 1}))
	v.event(event(schema.EventStepReattached, "fit", schema.StepReattachedData{Attempt: 1, Host: "h"}))
	want := "  fit:  10 % ██░░░░░░░░░░░░░░░░░░, half\n  fit:  20 % ████░░░░░░░░░░░░░░░░, half\n" +
		"  fit:  30 % ██████░░░░░░░░░░░░░░, half\n  fit:  40 % ████████░░░░░░░░░░░░, half\n" +
		"  fit: a worker came back to it; nothing was lost\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestView_SaysInWordsWhyAnAttemptEnded(t *testing.T) {
	t.Parallel()
	v, b := newTestView(false)
	for r := range reasons {
		v.event(event(schema.EventStepFailed, "a", schema.StepFailedData{Reason: r}))
	}
	v.event(event(schema.EventStepFailed, "a", schema.StepFailedData{Reason: "new_reason"}))
	v.event(event(schema.EventStepRetryStarted, "a", schema.StepRetryStartedData{Attempt: 2, Reason: schema.ReasonHostLost}))
	for _, part := range []string{
		"it ran out of memory", "over the disk quota", "too many processes", "it printed more than is kept", "its time was over", "its supervisor was lost", "a layer of the sandbox is missing", "new reason",
		"↻ a: its host was lost; attempt 2",
	} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("%q is missing in\n%s", part, b.String())
		}
	}
}

// A program's changes to its own line must not reach another step's line, ours, or a question.
func TestView_LetsNoProgramWriteOverWhatIsNotIts(t *testing.T) {
	t.Parallel()
	v, b := newTestView(true)
	v.event(starts("evil"))
	v.event(printed("evil", "\x1b[8m\n")) // conceal
	b.Reset()
	v.notice("the connection was lost")
	if got := b.String(); !strings.HasPrefix(got, "\x1b[0m") {
		t.Errorf("a notice comes in the colours of a program: %q", got)
	}

	b.Reset()
	v.prompt("Approve? ")
	v.event(printed("evil", "\rAll is well \x1b[1G\x1b[K"))
	if got := b.String(); !strings.HasPrefix(got, "Approve? \x1b[0m\n") {
		t.Errorf("a question can be written over: %q", got)
	}

	v.event(starts("good"))
	b.Reset()
	v.event(printed("evil", "\x1b[31mred\x1b[1G\x1b[99D\b\b\b\bgood │ all is well\x1b[2K\r\x1b[99Cx\n"))
	got := b.String()
	if strings.ContainsAny(strings.ReplaceAll(got, "\x1b[", ""), "\b\r") || strings.Contains(got, "\x1b[1G") || strings.Contains(got, "\x1b[99") || !strings.Contains(got, "evil │ ") {
		t.Errorf("another step's line can be written: %q", got)
	}
}

func TestSessionShow_TellsWhatEachAttemptUsed(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	at := schema.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	code := 0
	s.on("GET /api/sessions/{id}", http.StatusOK, schema.Session{ID: scriptedID, Status: schema.SessionCompleted})
	s.on("GET /api/sessions/{id}/runs", http.StatusOK, map[string]any{"runs": []schema.Run{{ID: otherID, Number: 1, Steps: []schema.Step{{
		ID: "fit", Title: "Fit", Status: schema.StepSucceeded, Attempts: []schema.Attempt{
			{Number: 1, Status: schema.AttemptFailed, Signal: "SIGKILL", Reason: schema.ReasonOutOfMemory, StartedAt: at, FinishedAt: &at, DurationMS: 61_000, CPUSeconds: 58.3, MaxRSSBytes: 2e9, Host: "one"},
			{Number: 2, Status: schema.AttemptSucceeded, ExitCode: &code, StartedAt: at, FinishedAt: &at, DurationMS: 1500, CPUSeconds: 1.25, MaxRSSBytes: 12e6, ReadBytes: 3e6, WriteBytes: 4096, Host: "two"},
		},
	}}}}})
	got := run(t, nil, "", "session", "show", "--server", s.URL, scriptedID)
	got.want(t, 0)
	for _, words := range [][]string{
		{"STEP", "STATUS", "ATTEMPTS", "EXIT", "TIME", "CPU", "MEMORY", "READ", "WRITTEN", "HOST", "TITLE"},
		{"fit", "succeeded", "2", "0", "1.5s", "1.2s", "12 MB", "3.0 MB", "4.1 kB", "two", "Fit"},
		{"attempt 1", "failed", "SIGKILL", "1m 1s", "58.3s", "2.0 GB", "one", "it ran out of memory"},
	} {
		if !strings.Contains(strings.Join(strings.Fields(got.out), " "), strings.Join(words, " ")) {
			t.Errorf("%q is missing in\n%s", words, got.out)
		}
	}
}
