package workflows

import "go.temporal.io/sdk/workflow"

// receiveFunc receives one signal from its channel, if there is one, and returns its size.
type receiveFunc func(ctx workflow.Context, ch workflow.ReceiveChannel) (ok bool, bytes int)

type signalReceiver struct {
	name    string
	receive receiveFunc
}

func (s *session) register(name string, receive receiveFunc) {
	s.receivers = append(s.receivers, signalReceiver{name, receive})
}

// received is how much came in by signal since the last collect.
type received struct{ signals, bytes int }

func (h received) full() bool { return h.signals >= maxSignals || h.bytes >= maxTransition }

// receivePending receives the signals that have arrived, or as many as may be recorded at once: the others
// stay in their channels. Signals that arrived together are taken by kind, because the SDK does not
// tell the order across channels.
func (s *session) receivePending(ctx workflow.Context) {
	for _, r := range s.receivers {
		for {
			if s.received.full() && s.hasSignals(ctx) && s.bounded(ctx) {
				return
			}
			ok, n := r.receive(ctx, workflow.GetSignalChannel(ctx, r.name))
			if !ok {
				break
			}
			s.received.signals++
			s.received.bytes += n
		}
	}
}

func (s *session) hasSignals(ctx workflow.Context) bool {
	for _, r := range s.receivers {
		if workflow.GetSignalChannel(ctx, r.name).Len() > 0 {
			return true
		}
	}
	return false
}

// receiveSignals receives signals while the loop waits for an activity. That takes long when Postgres is
// down, and a decision counts from the moment that it arrives. In an idle session the loop
// receives them itself.
func (s *session) receiveSignals(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			err := workflow.Await(ctx, func() bool { return !s.idle && !s.state.Over() && s.canReceive(ctx) })
			if err != nil || !s.inOrder(ctx) {
				return
			}
			s.receivePending(ctx)
		}
	})
}

// receiveBeforeUpdate receives earlier signals before an update is carried out, because Temporal runs update
// handlers before anything else. The validator decided without those signals, so the update is
// checked again.
func (s *session) receiveBeforeUpdate(ctx workflow.Context) {
	if s.canReceive(ctx) && s.inOrder(ctx) {
		s.receivePending(ctx)
		s.stateChanged = true
	}
}

// canReceive reports whether signals are waiting that may be received now.
func (s *session) canReceive(ctx workflow.Context) bool {
	return s.hasSignals(ctx) && !s.received.full()
}
