//go:build unix

package runner

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
)

// rememberStopped is how long a stopped run is remembered, to refuse activities that were already
// on their way to this host.
const rememberStopped = 10 * time.Minute

// of lists the steps of a run that are running here.
func (r *Runner) of(runID string) []*running {
	var list []*running
	for _, run := range r.live {
		if run.arg.RunID == runID {
			list = append(list, run)
		}
	}
	slices.SortFunc(list, func(a, b *running) int { return cmp.Compare(a.arg.StepID, b.arg.StepID) })
	return list
}

// Stop ends every process of the run's steps here, with grace between SIGTERM and SIGKILL, and
// counts. It returns when they are gone and recorded, or when ctx ends.
func (r *Runner) Stop(ctx context.Context, runID string, grace time.Duration) schema.StoppedSteps {
	r.mu.Lock()
	for id, at := range r.stopped {
		if time.Since(at) > rememberStopped {
			delete(r.stopped, id)
		}
	}
	r.stopped[runID] = time.Now()
	r.setFrozen(runID, false)
	list := r.of(runID)
	r.mu.Unlock()
	r.changed.Broadcast()
	each(list, func(run *running) { run.stop(grace) })
	var sum schema.StoppedSteps
	for _, run := range list {
		select {
		case <-run.done:
			killed, survivors := run.count()
			sum.ProcessesKilled += killed
			sum.Survivors += survivors
		case <-ctx.Done():
			sum.Survivors++
		}
	}
	return sum
}

// endQuietly ends a step without a record, and removes anything that could be taken for one.
func (r *Runner) endQuietly(run *running) {
	s := run.suppressRecord()
	if s == nil {
		run.stop(0)
		return
	}
	r.end(s)
	r.remove(s.dir)
}

func each(list []*running, do func(*running)) {
	var all sync.WaitGroup
	for _, run := range list {
		all.Go(func() { do(run) })
	}
	all.Wait()
}

// ownProgram is the program of `holdfast ask`, with which a step asks people. It comes last in its
// PATH.
func ownProgram() []string {
	exe, err := os.Executable()
	if err != nil || filepath.Base(exe) != "holdfast" {
		return nil
	}
	return []string{exe}
}

// environment is everything in a program's environment except TMPDIR, which the sandbox sets: the plan's variables,
// those that every step has, and what people said: the message that the run answers, and the feedback of the decision
// that led here.
func environment(dir string, step *schema.PlanStep, arg schema.RunStep, message string, attempt int) []string {
	env := map[string]string{
		"PATH": cmp.Or(os.Getenv("PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		"HOME": dir,
		"LANG": "C.UTF-8",
	}
	for _, program := range ownProgram() {
		env["PATH"] += string(os.PathListSeparator) + filepath.Dir(program)
	}
	maps.Copy(env, step.Env)
	env["HOLDFAST_SOCKET"] = filepath.Join(sandbox.SocketDir, "socket")
	env["HOLDFAST_SESSION_ID"] = arg.SessionID
	env[markRun] = arg.RunID
	env[markStep] = arg.StepID
	env["HOLDFAST_ATTEMPT"] = strconv.Itoa(attempt)
	if arg.Trace != "" {
		env["TRACEPARENT"] = arg.Trace
	}
	for name, said := range map[string]string{"HOLDFAST_MESSAGE": message, "HOLDFAST_FEEDBACK": arg.Feedback} {
		if said != "" {
			env[name] = strings.ReplaceAll(said, "\x00", "\uFFFD") // a variable cannot hold NUL
		}
	}
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// The variables that identify a step's processes.
const (
	markRun  = "HOLDFAST_RUN_ID"
	markStep = "HOLDFAST_STEP_ID"
)

func marks(arg schema.RunStep) []string {
	return []string{markRun + "=" + arg.RunID, markStep + "=" + arg.StepID}
}

// endMarked ends processes that an attempt left behind without a supervisor.
func endMarked(arg schema.RunStep) error {
	if _, alive := supervisor.KillMarked(marks(arg)); alive > 0 {
		return fmt.Errorf("%d processes of an earlier attempt cannot be killed", alive)
	}
	return nil
}
