package workflows

import (
	"cmp"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// command is a command that reaches the session by update or signal. Both call the same functions,
// which change State and return; the loop does the rest.
type command[T request] struct {
	name, description string
	check             func(now time.Time, c T) error // refuses without changing anything
	do                func(now time.Time, by schema.Command, c T) (schema.CommandResult, error)
	older             func(ctx workflow.Context, c T) (*schema.CommandResult, error) // what an older release did differently, see legacy.go
	about             func(c T) schema.AuditEntry                                    // what the audit trail says about a refused signal; nil for its name alone
}

// handle registers updates, queries and the receivers of signals.
func (s *session) handle(ctx workflow.Context) error {
	st := s.state
	return errors.Join(
		workflow.SetQueryHandler(ctx, schema.QueryState, func() (schema.WorkflowState, error) { return st.View(), nil }),
		workflow.SetQueryHandler(ctx, schema.QueryApprovals, func() ([]schema.Asked, error) { return st.PendingViews(), nil }),
		workflow.SetQueryHandler(ctx, schema.QueryPlan, func() ([]schema.StepState, error) { return st.StepViews(), nil }),
		accept(ctx, s, command[schema.ResolveApproval]{
			name: schema.CommandResolveApproval, description: "Decide an approval; the first decision wins",
			check: func(now time.Time, c schema.ResolveApproval) error { _, _, err := st.CheckResolve(now, c); return err },
			do: func(now time.Time, by schema.Command, c schema.ResolveApproval) (schema.CommandResult, error) {
				repeated, err := st.Resolve(now, by, c)
				return schema.CommandResult{Repeated: repeated}, err
			},
			older: s.resolveOlder,
			about: func(c schema.ResolveApproval) schema.AuditEntry {
				return schema.AuditEntry{ApprovalID: c.ApprovalID, Resolution: c.Resolution}
			},
		}),
		accept(ctx, s, command[schema.ExtendApproval]{
			name: schema.CommandExtendApproval, description: "Give an approval more time",
			check: func(now time.Time, c schema.ExtendApproval) error { _, err := st.CheckExtend(now, c); return err },
			do: func(now time.Time, by schema.Command, c schema.ExtendApproval) (schema.CommandResult, error) {
				a, err := st.Extend(now, by, c)
				return approvalResult(a, false), err
			},
			about: func(c schema.ExtendApproval) schema.AuditEntry { return schema.AuditEntry{ApprovalID: c.ApprovalID} },
		}),
		accept(ctx, s, command[schema.Ask]{
			name: schema.CommandAsk, description: "A running step asks a human",
			check: func(_ time.Time, c schema.Ask) error { return st.CheckAsk(c) },
			do: func(now time.Time, by schema.Command, c schema.Ask) (schema.CommandResult, error) {
				a, repeated, err := st.AskHuman(now, by, c)
				return approvalResult(a, repeated), err
			},
			older: s.askOlder,
			about: func(c schema.Ask) schema.AuditEntry {
				return schema.AuditEntry{StepID: c.StepID, ApprovalID: schema.AskID(st.Run.ID, c.StepID, c.RequestID)}
			},
		}),
		accept(ctx, s, command[schema.SendMessage]{
			name: schema.CommandMessage, description: "Say something: the next run answers it",
			check: func(_ time.Time, c schema.SendMessage) error { return st.CheckMessage(c) },
			do: func(now time.Time, by schema.Command, c schema.SendMessage) (schema.CommandResult, error) {
				n, err := st.Message(now, by, c)
				return schema.CommandResult{Message: n}, err
			},
		}),
		accept(ctx, s, command[schema.StartRun]{
			name: schema.CommandRun, description: "Start the next run",
			check: func(_ time.Time, c schema.StartRun) error { return st.CheckStartRun(c) },
			do: func(now time.Time, by schema.Command, c schema.StartRun) (schema.CommandResult, error) {
				n, err := st.StartRun(now, by, c)
				return schema.CommandResult{RunID: schema.RunID(st.Input.SessionID, n), RunNumber: n}, err
			},
		}),
		s.acceptPlain(ctx, schema.CommandSuspend, "Start nothing new and freeze what runs", st.checkSuspend, st.Suspend),
		s.acceptPlain(ctx, schema.CommandResume, "Go on", st.checkResume, st.Resume),
		s.acceptPlain(ctx, schema.CommandCancel, "Stop everything for good", st.checkCancel, st.RequestCancel),
		s.acceptPlain(ctx, schema.CommandClose, "Stop everything and end the session", func() error { return nil }, st.RequestClose),
	)
}

func approvalResult(a *Approval, repeated bool) schema.CommandResult {
	if a == nil {
		return schema.CommandResult{}
	}
	return schema.CommandResult{ApprovalID: a.ApprovalID, ExpiresAt: &a.ExpiresAt, Repeated: repeated}
}

// acceptPlain registers a command without arguments of its own.
func (s *session) acceptPlain(
	ctx workflow.Context, name, description string, check func() error, do func(time.Time, schema.Command) (bool, error),
) error {
	return accept(ctx, s, command[schema.Command]{
		name: name, description: description,
		check: func(time.Time, schema.Command) error { return check() },
		older: func(ctx workflow.Context, _ schema.Command) (*schema.CommandResult, error) {
			return s.holdOlder(ctx, name)
		},
		do: func(now time.Time, by schema.Command, _ schema.Command) (schema.CommandResult, error) {
			repeated, err := do(now, by)
			return schema.CommandResult{Repeated: repeated}, err
		},
	})
}

// accept registers a command as an update and as a signal.
func accept[T request](ctx workflow.Context, s *session, cmd command[T]) error {
	s.register(cmd.name, func(ctx workflow.Context, ch workflow.ReceiveChannel) (bool, int) {
		var c T
		if !ch.ReceiveAsync(&c) {
			return false, 0
		}
		if _, err := execute(ctx, s, cmd, c); err != nil {
			entry := schema.AuditEntry{}
			if cmd.about != nil {
				entry = cmd.about(c)
			}
			entry.Action = cmd.name
			s.state.Ignored(workflow.Now(ctx), sender(cmd.name, c), entry, err)
		}
		return true, encodedSize(c)
	})
	return workflow.SetUpdateHandlerWithOptions(ctx, cmd.name,
		func(ctx workflow.Context, c T) (schema.CommandResult, error) {
			s.updates++
			s.receiveBeforeUpdate(ctx)
			result, err := execute(ctx, s, cmd, c)
			if err == nil && !result.Repeated {
				s.cause = ctx.Value(schema.WorkflowSpan{})
			}
			return result, refusal(err)
		},
		workflow.UpdateHandlerOptions{Validator: func(ctx workflow.Context, c T) error {
			if _, seen, err := s.state.Seen(cmd.name, c); seen || err != nil {
				return refusal(err)
			}
			return refusal(cmp.Or(checkHistorySpace(ctx, c), checkSender(c.From()), cmd.check(workflow.Now(ctx), c)))
		}, Description: cmd.description})
}

// execute carries out a command, once per request id.
func execute[T request](ctx workflow.Context, s *session, cmd command[T], c T) (schema.CommandResult, error) {
	now, by := workflow.Now(ctx), sender(cmd.name, c)
	result, seen, err := s.state.Seen(cmd.name, c)
	if err != nil && older(ctx) {
		result, seen = s.state.SeenBefore(cmd.name, c)
		err = nil
	}
	if err != nil {
		return schema.CommandResult{}, err
	}
	if seen {
		result.Repeated = true
	} else {
		if err := checkSender(by); err != nil && !older(ctx) {
			return schema.CommandResult{}, err
		}
		if result, err = carryOut(ctx, cmd, now, by, c); err != nil {
			return schema.CommandResult{}, err
		}
		s.state.Remember(cmd.name, c, result)
		s.state.LastUsed = now
		s.stateChanged = true
	}
	result.Status, result.Phase = s.state.Status(), s.state.Phase()
	return result, nil
}

func carryOut[T request](ctx workflow.Context, cmd command[T], now time.Time, by schema.Command, c T) (schema.CommandResult, error) {
	if cmd.older != nil {
		if result, err := cmd.older(ctx, c); err != nil || result != nil {
			return *cmp.Or(result, &schema.CommandResult{}), err
		}
	}
	return cmd.do(now, by, c)
}

// sender says who sent a command. A sender without a name, or with one of the product's own names,
// used Temporal's tools, except for commands that only the product sends.
func sender(name string, c interface{ From() schema.Command }) schema.Command {
	by := c.From()
	ours := name == schema.CommandClose || name == schema.CommandAsk
	if by.Actor == "" || (!ours && schema.ReservedActor(by.Actor)) {
		by.Actor = schema.ActorTemporal
	}
	return by
}

// refusal turns an error into one that carries its code through Temporal, as its type.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*schema.Error](err); ok {
		return temporal.NewNonRetryableApplicationError(e.Message, string(e.Code), nil, e.Fields)
	}
	return err
}
