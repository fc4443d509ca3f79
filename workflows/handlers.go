package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// signalActor stands in for the name of who sent a signal or update without one: the
// temporal CLI and Web UI do not say who uses them.
const signalActor = "temporal"

// handle registers updates, queries and the readers of signals. Updates and signals of one
// name call one function; it changes State and returns, and the loop does what follows.
func (s *session) handle(ctx workflow.Context) error {
	st := s.state
	errs := []error{
		workflow.SetQueryHandler(ctx, schema.QueryState, func() (schema.WorkflowState, error) { return st.View(), nil }),
		workflow.SetQueryHandler(ctx, schema.QueryApprovals, func() ([]schema.Asked, error) { return st.PendingViews(), nil }),
		workflow.SetQueryHandler(ctx, schema.QueryPlan, func() ([]schema.StepState, error) { return st.StepViews(), nil }),
		workflow.SetUpdateHandlerWithOptions(ctx, schema.CommandResolveApproval,
			func(ctx workflow.Context, c schema.ResolveApproval) (schema.CommandResult, error) {
				return s.resolve(workflow.Now(ctx), c)
			},
			workflow.UpdateHandlerOptions{Validator: func(ctx workflow.Context, c schema.ResolveApproval) error {
				_, _, err := st.CheckResolve(workflow.Now(ctx), c)
				return refusal(err)
			}, Description: "Decide an approval; the first decision wins"}),
	}
	s.listen(schema.CommandResolveApproval, func(ctx workflow.Context, ch workflow.ReceiveChannel) bool {
		var c schema.ResolveApproval
		ok := ch.ReceiveAsync(&c)
		if ok {
			_, err := s.resolve(workflow.Now(ctx), c)
			s.ignored(ctx, schema.CommandResolveApproval, err)
		}
		return ok
	})
	for _, cmd := range s.commands() {
		errs = append(errs, workflow.SetUpdateHandlerWithOptions(ctx, cmd.name,
			func(_ workflow.Context, c schema.Command) (schema.CommandResult, error) { return s.take(cmd, c) },
			workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, c schema.Command) error {
				if st.Seen(cmd.name, c.RequestID) {
					return nil
				}
				return refusal(cmd.check())
			}, Description: cmd.description}))
		s.listen(cmd.name, func(ctx workflow.Context, ch workflow.ReceiveChannel) bool {
			var c schema.Command
			ok := ch.ReceiveAsync(&c)
			if ok {
				_, err := s.take(cmd, c)
				s.ignored(ctx, cmd.name, err)
			}
			return ok
		})
	}
	return errors.Join(errs...)
}

// command is a command without an object of its own.
type command struct {
	name, description string
	check             func() error // refuses without changing anything
	do                func(actor string) (repeated bool, err error)
}

func (s *session) commands() []command {
	st := s.state
	return []command{
		{schema.CommandSuspend, "Start nothing new and freeze what runs", func() error { return st.underWay("suspend") }, st.Suspend},
		{schema.CommandResume, "Go on", func() error { return st.underWay("resume") }, st.Resume},
		{schema.CommandCancel, "Stop everything for good", st.checkCancel, st.RequestCancel},
		{schema.CommandClose, "Stop everything and end the session", func() error { return nil }, st.RequestClose},
	}
}

func (s *session) take(cmd command, c schema.Command) (schema.CommandResult, error) {
	if s.state.Seen(cmd.name, c.RequestID) {
		return s.result(true), nil
	}
	repeated, err := cmd.do(actorOf(c.Actor))
	if err != nil {
		return schema.CommandResult{}, refusal(err)
	}
	s.state.Remember(cmd.name, c.RequestID)
	s.woken = true
	return s.result(repeated), nil
}

func (s *session) resolve(now time.Time, c schema.ResolveApproval) (schema.CommandResult, error) {
	c.Actor = actorOf(c.Actor)
	repeated, err := s.state.Resolve(now, c)
	if err != nil {
		return schema.CommandResult{}, refusal(err)
	}
	s.woken = true
	return s.result(repeated), nil
}

func (s *session) result(repeated bool) schema.CommandResult {
	return schema.CommandResult{Status: s.state.Status(), Phase: s.state.Phase(), Repeated: repeated}
}

// ignored logs a signal that was refused: nobody waits for its answer.
func (s *session) ignored(ctx workflow.Context, name string, err error) {
	if err != nil {
		workflow.GetLogger(ctx).Info("signal ignored", "signal", name, "session_id", s.state.Input.SessionID, "reason", err.Error())
	}
}

func actorOf(actor string) string {
	if actor == "" {
		return signalActor
	}
	return actor
}

// refusal turns an error into one that keeps its code across Temporal, as its type.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*schema.Error](err); ok {
		return temporal.NewNonRetryableApplicationError(e.Message, string(e.Code), nil, e.Fields)
	}
	return err
}

// reader takes one signal from its channel, if there is one.
type reader struct {
	name string
	take func(ctx workflow.Context, ch workflow.ReceiveChannel) bool
}

func (s *session) listen(name string, take func(ctx workflow.Context, ch workflow.ReceiveChannel) bool) {
	s.readers = append(s.readers, reader{name, take})
}

// drain takes in every signal that has arrived.
func (s *session) drain(ctx workflow.Context) {
	for _, r := range s.readers {
		for r.take(ctx, workflow.GetSignalChannel(ctx, r.name)) { // the condition does the work
		}
	}
}

func (s *session) signalled(ctx workflow.Context) bool {
	for _, r := range s.readers {
		if workflow.GetSignalChannel(ctx, r.name).Len() > 0 {
			return true
		}
	}
	return false
}
