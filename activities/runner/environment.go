//go:build unix

package runner

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
)

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
