package workflows

import "go.temporal.io/sdk/workflow"

// takeSignal takes one signal from its channel, if there is one, and returns its size.
type takeSignal func(ctx workflow.Context, ch workflow.ReceiveChannel) (ok bool, bytes int)

type reader struct {
	name string
	take takeSignal
}

func (s *session) listen(name string, take takeSignal) {
	s.readers = append(s.readers, reader{name, take})
}

// heard is how much came in by signal since the loop last looked.
type heard struct{ signals, bytes int }

func (h heard) enough() bool { return h.signals >= maxSignals || h.bytes >= maxTransition }

// drain takes in the signals that have arrived, or as many as may be recorded at once: the others
// stay in their channels. Signals that arrived together are taken by kind, because the SDK does not
// tell the order across channels.
func (s *session) drain(ctx workflow.Context) {
	for _, r := range s.readers {
		for {
			if s.heard.enough() && s.signalled(ctx) && s.bounded(ctx) {
				return
			}
			ok, n := r.take(ctx, workflow.GetSignalChannel(ctx, r.name))
			if !ok {
				break
			}
			s.heard.signals++
			s.heard.bytes += n
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

// hear takes in signals while the loop waits for an activity. That takes long when Postgres is
// down, and a decision counts from the moment that it arrives. In an idle session the loop takes
// them in itself.
func (s *session) hear(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			err := workflow.Await(ctx, func() bool { return !s.resting && !s.state.Over() && s.behind(ctx) })
			if err != nil || !s.inOrder(ctx) {
				return
			}
			s.drain(ctx)
		}
	})
}

// hearFirst takes in earlier signals before an update is carried out, because Temporal runs update
// handlers before anything else. The validator decided without those signals, so the update is
// checked again.
func (s *session) hearFirst(ctx workflow.Context) {
	if s.behind(ctx) && s.inOrder(ctx) {
		s.drain(ctx)
		s.woken = true
	}
}

// behind reports whether signals are waiting that may be taken in now.
func (s *session) behind(ctx workflow.Context) bool {
	return s.signalled(ctx) && !s.heard.enough()
}
