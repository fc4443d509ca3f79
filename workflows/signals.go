package workflows

import "go.temporal.io/sdk/workflow"

// takeSignal takes one signal from its channel, if there is one, and says how large it was.
type takeSignal func(ctx workflow.Context, ch workflow.ReceiveChannel) (ok bool, bytes int)

type reader struct {
	name string
	take takeSignal
}

func (s *session) listen(name string, take takeSignal) {
	s.readers = append(s.readers, reader{name, take})
}

// heard is how much was taken in from signals since the loop looked last.
type heard struct{ signals, bytes int }

func (h heard) enough() bool { return h.signals >= maxSignals || h.bytes >= maxTransition }

// drain takes in the signals that have arrived, or as many of them as may be recorded at once:
// the others stay in their channels. Those that arrived together come by their kind: the SDK
// does not tell the order across channels.
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

// hear takes in what comes as a signal while the loop waits for an activity. That is long when
// Postgres is away, and a decision counts from the moment in which it came. In a session at
// rest the loop takes them in itself.
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

// hearFirst takes in what came as a signal before an update is carried out: Temporal runs
// handlers of updates before all else. The validator has judged without it, and what it let
// through is checked again.
func (s *session) hearFirst(ctx workflow.Context) {
	if s.behind(ctx) && s.inOrder(ctx) {
		s.drain(ctx)
		s.woken = true
	}
}

// behind reports whether signals wait that may be taken in now.
func (s *session) behind(ctx workflow.Context) bool {
	return s.signalled(ctx) && !s.heard.enough()
}
