package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// newWorldDSN is newWorld with the address of its database.
func newWorldDSN(t *testing.T) (w *world, dsn string) {
	t.Helper()
	w = newWorld(t)
	w.stop()
	w.store, dsn = storetest.NewDSN(t)
	w.start()
	return w, dsn
}

// holdUp makes every write of the session wait until release is called.
func holdUp(t *testing.T, dsn, sessionID string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `SELECT FROM sessions WHERE id = $1 FOR UPDATE`, sessionID)
	}
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	release = func() { once.Do(func() { _ = conn.Close(context.Background()) }) }
	t.Cleanup(release)
	return release
}

// sendAll sends n commands as updates, as many at a time as web does, and counts those that were
// accepted; the others must be refused for now.
func (w *world) sendAll(id, name string, n int, command func(i int) any) int {
	w.t.Helper()
	var (
		mu    sync.Mutex
		taken int
		all   sync.WaitGroup
	)
	next := make(chan int)
	for range 8 {
		all.Go(func() {
			for i := range next {
				_, err := w.update(id, name, command(i))
				if app, ok := errors.AsType[*temporal.ApplicationError](err); err != nil && (!ok || schema.Code(app.Type()) != schema.CodeUnavailable) {
					w.t.Errorf("command %d: %v", i, err)
					continue
				}
				if err == nil {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	return taken
}

// While the processes of a run are being stopped, people keep sending: the most that they may, in
// the characters that take the most space.
func TestPressure_EverythingSaidDuringACancelIsKept(t *testing.T) {
	t.Parallel()
	text := func(i int) string {
		head := fmt.Sprintf("%03d ", i)
		return head + strings.Repeat("<", schema.MaxMessageBytes-len(head))
	}
	for name, all := range map[string]bool{"by its text": false, "stored before": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dsn := newWorldDSN(t)
			id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo up; exec sleep 1000","approval":true}]}`)
			w.decide(id, schema.ResolutionApproved, "")
			w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" })
			command := func(i int) any {
				return schema.SendMessage{Content: text(i), Actor: "ada", RequestID: fmt.Sprint("m", i)}
			}
			if all {
				command = func(i int) any {
					stored := &schema.Text{ID: schema.TextID(id, fmt.Sprint("m", i), text(i)), Bytes: len(text(i))}
					return schema.SendMessage{Text: stored, Actor: "ada", RequestID: fmt.Sprint("m", i)}
				}
				for i := range schema.MaxQueuedMessages {
					if _, err := w.store.SaveText(t.Context(), id, schema.TextID(id, fmt.Sprint("m", i), text(i)), "ada", text(i)); err != nil {
						t.Fatal(err)
					}
				}
			}
			release := holdUp(t, dsn, id)
			if _, err := w.update(id, schema.CommandCancel, schema.Command{Actor: "ada"}); err != nil {
				t.Fatal(err)
			}
			taken := w.sendAll(id, schema.CommandMessage, schema.MaxQueuedMessages, command)
			release()
			if taken < 5 || (all && taken != schema.MaxQueuedMessages) {
				t.Fatalf("%d of %d messages were taken in", taken, schema.MaxQueuedMessages)
			}
			w.pending(id) // of the run that answers the first of them
			messages, _, err := w.store.Messages(t.Context(), id, 200, "")
			if err != nil || len(messages) != taken {
				t.Fatalf("%d messages were taken in, and %d are there: %v", taken, len(messages), err)
			}
			said := map[string]bool{}
			for i, m := range messages {
				said[m.Content] = true
				if m.Number != i+1 || len(m.Content) != schema.MaxMessageBytes {
					t.Errorf("message %d has number %d and %d bytes", i+1, m.Number, len(m.Content))
				}
			}
			if len(said) != taken {
				t.Errorf("%d different texts of %d", len(said), taken)
			}
			left, err := w.store.CollectTexts(t.Context(), 0, 1000)
			if err != nil || left != 0 {
				t.Errorf("%d texts are left over: %v", left, err)
			}
			w.awaitOpen(id)
		})
	}
}

// awaitOpen checks that the session's workflow runs.
func (w *world) awaitOpen(id string) {
	w.t.Helper()
	is, err := w.temporal.DescribeWorkflowExecution(w.t.Context(), schema.WorkflowID(id), "")
	if err != nil || is.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		w.t.Fatalf("the workflow is %s: %v", is.GetWorkflowExecutionInfo().GetStatus(), err)
	}
}

// Temporal accepts 2,000 updates per execution. A session accepts more in one run, with a step that
// never ends: that step stays the same, and a cancel is heard.
func TestUpdates_MoreThanTemporalTakesWhileAStepRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo up; exec sleep 1000"},{"id":"t","shell":"echo t"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" && output(t, events, "t") != "" })
	const commands = 2100
	taken := w.sendAll(id, schema.CommandResume, commands, func(i int) any { return schema.Command{Actor: "ada", RequestID: fmt.Sprint("r", i)} })
	if taken != commands {
		t.Fatalf("%d of %d commands were taken in", taken, commands)
	}
	began := time.Now()
	if _, err := w.update(id, schema.CommandCancel, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	events := w.awaitType(id, schema.EventWorkflowCancelled)
	t.Logf("cancelled after %s", time.Since(began))
	for kind, want := range map[schema.EventType]int{
		schema.EventStepStarted: 2, schema.EventStepRetryStarted: 0, schema.EventStepReattached: 0, schema.EventStepFailed: 1,
	} {
		if n := w.countTypes(id, kind); n != want {
			t.Errorf("%d × %s, want %d:\n%s", n, kind, want, logText(events))
		}
	}
	if n := len(w.histories(t.Context(), id)); n < 3 {
		t.Errorf("%d executions", n)
	}
}

// A server that suggests continue-as-new early, and steps that end at any moment, even without an
// execution to hear of it: each runs once, and its end is found.
func TestContinuedAsNew_EveryStepThatEndsMeanwhileHasRunOnce(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, hastyTemporal(t))
	const steps = 60
	var plan strings.Builder
	for i := range steps {
		fmt.Fprintf(&plan, `,{"id":"s%d","shell":"sleep 0.%d; echo step %d","retries":2}`, i, i%7, i)
	}
	id := w.session(schema.Config{Parallel: 6}, `{"steps":[`+plan.String()[1:]+`]}`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; w.countTypes(id, schema.EventWorkflowCompleted) == 0 && i < 10_000 && t.Context().Err() == nil; i++ {
			_, _ = w.update(id, schema.CommandResume, schema.Command{Actor: "ada"}) // refused if the run is over
		}
	}()
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	<-done
	for i := range steps {
		if got, want := output(t, events, fmt.Sprintf("s%d", i)), fmt.Sprintf("step %d\n", i); got != want {
			t.Errorf("s%d printed %q", i, got)
		}
	}
	for kind, want := range map[schema.EventType]int{
		schema.EventStepStarted: steps, schema.EventStepCompleted: steps, schema.EventStepRetryStarted: 0, schema.EventStepReattached: 0,
	} {
		if n := w.countTypes(id, kind); n != want {
			t.Errorf("%d × %s, want %d", n, kind, want)
		}
	}
	again := 0
	for _, history := range w.histories(t.Context(), id) {
		for _, e := range history.GetEvents() {
			for _, payload := range e.GetActivityTaskScheduledEventAttributes().GetInput().GetPayloads() {
				if strings.Contains(string(payload.GetData()), `"again":true`) {
					again++
				}
			}
		}
	}
	if again == 0 {
		t.Error("no step was under way when the workflow continued as new")
	}
}

// A cancellation through Temporal is one cancel: it does not concern later runs.
func TestCancel_ThroughTemporalIsOfOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo up $HOLDFAST_MESSAGE; case $HOLDFAST_MESSAGE in one|two) ;; *) exec sleep 1000;; esac"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" })
	if err := w.temporal.CancelWorkflow(t.Context(), schema.WorkflowID(id), ""); err != nil {
		t.Fatal(err)
	}
	w.awaitType(id, schema.EventWorkflowCancelled)
	for _, text := range []string{"one", "two"} {
		if _, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: text, Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	events := w.awaitEnds(id, 3)
	if got := output(t, events, "s"); got != "up\nup one\nup two\n" {
		t.Fatalf("printed %q:\n%s", got, logText(events))
	}
	if n := w.countTypes(id, schema.EventWorkflowCompleted); n != 2 {
		t.Fatalf("%d runs completed, want 2:\n%s", n, logText(events))
	}
	if _, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: "three", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	w.await(id, "output of another run", func(events []schema.Event) bool { return strings.HasSuffix(output(t, events, "s"), "up three\n") })
	if err := w.temporal.CancelWorkflow(t.Context(), schema.WorkflowID(id), ""); err != nil {
		t.Fatal(err)
	}
	w.await(id, "another cancel", func([]schema.Event) bool { return w.countTypes(id, schema.EventWorkflowCancelled) == 2 })
}
