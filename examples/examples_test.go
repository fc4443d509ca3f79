package examples_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/examples"
	"github.com/holdfast/holdfast/examples/packing"
	"github.com/holdfast/holdfast/schema"
)

type entry struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Description string `json:"description"`
	File        string `json:"file"`
}

func index(t *testing.T) []entry {
	t.Helper()
	text, err := fs.ReadFile(examples.FS(), "index.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []entry
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func plan(t *testing.T, file string) *schema.Plan {
	t.Helper()
	text, err := fs.ReadFile(examples.FS(), file)
	if err != nil {
		t.Fatal(err)
	}
	p, problems := schema.ParsePlan(text)
	for _, problem := range problems {
		t.Errorf("%s:%d:%d: %s: %s", file, problem.Line, problem.Column, problem.Location, problem.Message)
	}
	if len(problems) > 0 {
		t.FailNow()
	}
	return p
}

func TestIndex_NamesEveryPlanWithItsTitle(t *testing.T) {
	t.Parallel()
	list := index(t)
	files, err := fs.Glob(examples.FS(), "*.json")
	if err != nil || len(files) != len(list)+1 {
		t.Errorf("the index has %d plans, the folder %v (%v)", len(list), files, err)
	}
	for _, e := range list {
		if e.ID == "" || e.Title == "" || e.Description == "" || e.File != e.ID+".json" {
			t.Errorf("incomplete: %+v", e)
		}
		if unsupported := plan(t, e.File).Unsupported(); len(unsupported) > 0 {
			t.Errorf("%s asks for what the server cannot do: %v", e.File, unsupported)
		}
	}
}

func TestPlans_AreThoseOfTheirSources(t *testing.T) {
	t.Parallel()
	for _, e := range index(t) {
		want, err := packing.Pack(filepath.Join("src", e.ID))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(e.File); !bytes.Equal(got, want) {
			t.Errorf("%s is not what src/%s makes; run go generate ./examples", e.File, e.ID)
		}
	}
}

// runner runs the steps of a plan one after the other, without Holdfast.
type runner struct {
	t    *testing.T
	dir  string
	plan *schema.Plan
}

func newRunner(t *testing.T, file string) *runner {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	r := &runner{t: t, dir: t.TempDir(), plan: plan(t, file)}
	for name, text := range r.plan.Files {
		path := filepath.Join(r.dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// step runs one step and returns what it printed and its exit code.
func (r *runner) step(id string, attempt int) (string, int) {
	r.t.Helper()
	s, ok := r.plan.Step(id)
	if !ok {
		r.t.Fatalf("there is no step %q", id)
	}
	command := s.Command()
	cmd := exec.CommandContext(r.t.Context(), command[0], command[1:]...)
	cmd.Dir = r.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + r.dir,
		"HOLDFAST_SESSION_ID=test", "HOLDFAST_STEP_ID=" + id, fmt.Sprintf("HOLDFAST_ATTEMPT=%d", attempt),
	}
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		r.t.Fatalf("step %s: %v", id, err)
	}
	return string(out), 0
}

// all runs every step in an order that the graph allows; each must succeed and print.
func (r *runner) all() map[string]string {
	r.t.Helper()
	printed := map[string]string{}
	for len(printed) < len(r.plan.Steps) {
		for i := range r.plan.Steps {
			s := &r.plan.Steps[i]
			waits := slices.ContainsFunc(s.Needs, func(need string) bool { _, done := printed[need]; return !done })
			if _, done := printed[s.ID]; done || waits {
				continue
			}
			out, code := r.step(s.ID, 1)
			if code != 0 || strings.TrimSpace(out) == "" {
				r.t.Fatalf("step %s: exit code %d, printed %q", s.ID, code, out)
			}
			printed[s.ID] = out
		}
	}
	return printed
}

func (r *runner) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func TestHello_Counts(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "hello.json")
	out := r.all()
	if !strings.Contains(out["greet"], "Hello from session test") || r.read("numbers.txt") != "1\n2\n3\n4\n5\n" {
		t.Errorf("printed %q", out)
	}
}

func TestSpectrum_FindsTheTonesAndDrawsThem(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "spectrum.json")
	r.all()
	report := r.read("published/report.md")
	for _, want := range []string{"| 32.50 | 32.", "| 71.00 | 71.", "| 140.25 | 140.", "![", "(spectrum.svg)", "3 peaks stand"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	figure := r.read("published/spectrum.svg")
	for _, want := range []string{"Frequency (Hz)", "Power density", "71.", "<title>"} {
		if !strings.Contains(figure, want) {
			t.Errorf("the figure lacks %q", want)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(figure)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the figure is not XML: %v", err)
		}
	}
	if s, _ := r.plan.Step("publish"); !s.Approval {
		t.Error("publish asks nobody")
	}
}

func TestParallel_MergesFourSurveys(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "parallel.json")
	out := r.all()
	if strings.Count(r.read("summary.csv"), "\n") != 5 {
		t.Errorf("summary.csv is %q", r.read("summary.csv"))
	}
	for _, want := range []string{"\r", "\x1b[32m", "24/24"} {
		if !strings.Contains(out["north"], want) {
			t.Errorf("north did not print %q", want)
		}
	}
}

func TestRecovery_FailsAsItSaysAndThenSucceeds(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "recovery.json")
	for _, do := range []struct {
		step          string
		attempt, code int
	}{{"download", 1, 1}, {"download", 2, 0}, {"check", 1, 3}, {"check", 2, 0}, {"summarise", 1, 0}} {
		if out, code := r.step(do.step, do.attempt); code != do.code {
			t.Fatalf("%s, attempt %d: exit code %d, want %d: %s", do.step, do.attempt, code, do.code, out)
		}
	}
	if n := strings.Count(r.read("clean.csv"), "\n"); n != 199 {
		t.Errorf("clean.csv has %d lines, want 199", n)
	}
	if s, _ := r.plan.Step("check"); s.OnError != schema.OnErrorAsk {
		t.Error("check asks nobody")
	}
}
