package worker_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/workflows"
)

// With -save every session of these tests saves its histories in that folder, one per execution. A
// release saves its own with `make histories`, and every later one must be able to replay them.
var save = flag.String("save", "", "where the histories of the sessions go, such as testdata/histories/0.1.0")

// replayer runs a workflow function under the name of the Session workflow.
func replayer(session any) sdkworker.WorkflowReplayer {
	r := sdkworker.NewWorkflowReplayer()
	r.RegisterWorkflowWithOptions(session, workflow.RegisterOptions{Name: schema.WorkflowType})
	return r
}

// replay runs the session's workflow again over its history: code that would decide differently
// cannot continue what it began.
func (w *world) replay(id string) {
	w.t.Helper()
	if w.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i, history := range w.histories(ctx, id) {
		if len(history.GetEvents()) < 3 {
			continue // it has only just started: nothing was decided yet
		}
		if err := replayer(workflows.Session).ReplayWorkflowHistory(nil, history); err != nil {
			w.t.Errorf("replay of %s: %v", id, err)
		}
		if *save != "" {
			w.save(i, history)
		}
	}
}

// maxSaved keeps the corpus small: only the first executions of a session that has many, and no
// long histories.
const (
	maxSaved       = 3
	maxSavedEvents = 400
)

func (w *world) save(execution int, history *historypb.History) {
	w.t.Helper()
	if execution >= maxSaved || len(history.GetEvents()) > maxSavedEvents {
		return
	}
	text, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(history)
	if err != nil {
		w.t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		w.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		w.t.Fatal(err)
	}
	base := strings.NewReplacer("/", "_", " ", "_").Replace(strings.TrimPrefix(w.t.Name(), "Test"))
	if err := os.MkdirAll(*save, 0o755); err != nil {
		w.t.Fatal(err)
	}
	for n := 1; ; n++ { // several sessions of one test
		name := filepath.Join(*save, fmt.Sprintf("%s.%d.%d.json.gz", base, n, execution+1))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if os.IsExist(err) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := f.Write(packed.Bytes()); err != nil {
			w.t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			w.t.Fatal(err)
		}
		return
	}
}

func savedHistories(t *testing.T) []string {
	t.Helper()
	if *save != "" {
		t.Skip("histories are being saved")
	}
	names, err := filepath.Glob("testdata/histories/*/*.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal("there are no saved histories: make histories")
	}
	return names
}

func readHistory(t *testing.T, name string) *historypb.History {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	history, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return history
}

// Sessions live for months: every later release continues what an earlier one began. If this fails,
// guard the change with workflow.GetVersion; never replace a saved history.
func TestReplay_EverySavedHistory(t *testing.T) {
	t.Parallel()
	for _, name := range savedHistories(t) {
		if err := replayer(workflows.Session).ReplayWorkflowHistory(nil, readHistory(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The corpus has everything that can happen to a session.
func TestReplay_TheCorpusHasEveryShape(t *testing.T) {
	t.Parallel()
	names := savedHistories(t)
	for shape, test := range map[string]string{
		"approve": "Session_WaitsForTheApprovalOfAStep", "reject": "Approval_RejectedFailsTheRun", "modify a plan": "Modified_ThePlan",
		"modify a step and retry": "Modified_AStep", "timeout and resume": "Approval_ExpiresAndIsAskedAgain", "escalate and extend": "Approval_EscalatesAndIsExtended",
		"late signal": "Signal_ThatIsRefused", "cancel": "Cancel_Ends", "suspend": "Suspend_Freezes", "retry": "Retry_AfterABackoff",
		"continue as new": "ContinuesAsNewWithoutATrace.1.2", "fork": "Fork_RunsOnly", "messages": "Message_StartsTheNextRun", "interrupt": "Message_Interrupts",
		"further runs": "Run_TheNextOne", "ask": "Ask_OfARunningStep", "run timeout": "RunTimeout_Stops", "expiry": "Expiry_Completes",
		"worker lost": "Worker_StoppedInTheMiddle", "command before the run is open": "Suspend_BeforeTheFirstRun",
		"host lost under two steps": "Hosts_AnotherTakesOver", "host drained": "Drain_FinishesWhatRuns",
	} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, test) }) {
			t.Errorf("no saved history shows %q (%s)", shape, test)
		}
	}
}

// The test of the test: code that decides differently is noticed.
func TestReplay_NoticesCodeThatDecidesOtherwise(t *testing.T) {
	t.Parallel()
	waits := func(ctx workflow.Context, in schema.SessionInput, carried *workflows.State) error {
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
		return workflows.Session(ctx, in, carried)
	}
	forgets := func(ctx workflow.Context, in schema.SessionInput, carried *workflows.State) error {
		in.Config = schema.Config{ApprovalMode: schema.ApproveAll}
		return workflows.Session(ctx, in, carried)
	}
	for _, name := range savedHistories(t) {
		if err := replayer(waits).ReplayWorkflowHistory(nil, readHistory(t, name)); err == nil {
			t.Errorf("%s: a workflow that waits first replays it", name)
		}
		if !strings.Contains(name, "Session_RunsItsSteps") {
			continue
		}
		if err := replayer(forgets).ReplayWorkflowHistory(nil, readHistory(t, name)); err == nil {
			t.Errorf("%s: a workflow that asks first replays it", name)
		}
	}
}
