package client

import (
	"encoding/json"

	"github.com/holdfast/holdfast/schema"
)

// Follow says where [Client.Watch] begins and which run ends it. Without First, RunID and
// Message it is the run under way when the watch begins: the first run to end after that
// moment, whatever is queued behind it. When none is under way, the watch ends once it has
// caught up, with the latest run's outcome.
type Follow struct {
	Since  int64 // begin after the event with this seq
	Insist bool  // wait for a server that cannot be reached at first

	First   bool   // the first run that ends after Since
	RunID   string // this run, whose start is after Since
	Message int    // the run that answers this message, which was sent after Since
}

// DroppedError says that a message was dropped before a run answered it.
type DroppedError struct{ Message int }

// Error implements error.
func (e *DroppedError) Error() string {
	return "the session ended before the message's turn came: no run answers it"
}

// standing is a session's state, as far as its events were seen, and whether the followed run
// is over.
type standing struct {
	follow   Follow
	begun    bool
	start    int64 // ends up to here are history
	replayed bool  // the whole log was seen, so its last word is the session's
	running  bool  // a run is under way, as far as we know
	queued   bool  // the followed message has been accepted
	mine     bool  // the followed run is under way
	doubtful bool  // the followed message may have been dropped: the server knows
	outcome  schema.SessionStatus
	done     bool
}

func newStanding(f Follow) standing {
	return standing{follow: f, begun: f.First, start: f.Since, replayed: f.Since <= 0, running: f.Since > 0}
}

// waits reports whether the followed message has been accepted and not been answered yet.
func (s *standing) waits() bool { return s.queued && !s.mine }

// idles is called as time passes: when no run begins, a waiting message may have been dropped
// between two runs, which makes no event.
func (s *standing) idles() { s.doubtful = s.doubtful || (s.waits() && !s.running) }

// knows records what happened to the followed message.
func (s *standing) knows(m schema.MessageStatus) {
	s.doubtful = false
	if m != schema.MessageDropped {
		return
	}
	s.done = true
	if s.outcome != schema.SessionExpired {
		s.outcome = schema.SessionCancelled
	}
}

func (s *standing) targeted() bool { return s.follow.RunID != "" || s.follow.Message > 0 }

// begins notes where the log ends at the first subscription. Later ones change nothing: a run
// that ends while the connection is away is the one that was under way.
func (s *standing) begins(head int64) {
	if !s.begun {
		s.begun, s.start = true, head
	}
}

// note records an event.
func (s *standing) note(e schema.Event) {
	switch e.Type { //nolint:exhaustive // only these decide
	case schema.EventWorkflowStarted:
		s.outcome, s.running, s.mine = "", true, s.isMine(e)
	case schema.EventWorkflowResumed:
		s.outcome = ""
	case schema.EventAgentMessage:
		d := decoded[schema.AgentMessageData](e)
		s.queued = s.queued || (d.Number > 0 && d.Number == s.follow.Message)
	case schema.EventWorkflowCompleted:
		s.ended(e, schema.SessionCompleted, false)
	case schema.EventWorkflowFailed:
		s.ended(e, schema.SessionFailed, false)
	case schema.EventWorkflowCancelled:
		switch decoded[schema.WorkflowCancelledData](e).Reason {
		case "expired":
			s.ended(e, schema.SessionExpired, true)
		case "interrupted": // the queue goes on
			s.ended(e, schema.SessionCancelled, false)
		default:
			s.ended(e, schema.SessionCancelled, true)
		}
	case schema.EventWorkflowStateChanged:
		// If a run is under way, the event that closes it follows.
		if decoded[schema.WorkflowStateChangedData](e).Status == schema.SessionExpired && !s.running {
			s.ended(e, schema.SessionExpired, true)
		}
	}
}

func (s *standing) isMine(e schema.Event) bool {
	switch {
	case s.follow.RunID != "":
		return e.RunID == s.follow.RunID
	case s.follow.Message > 0:
		return decoded[schema.WorkflowStartedData](e).Message == s.follow.Message
	default:
		return true
	}
}

// ended notes the end of a run. drops says that the queued messages were dropped with it.
func (s *standing) ended(e schema.Event, outcome schema.SessionStatus, drops bool) {
	s.outcome, s.running = outcome, false
	if s.targeted() {
		s.done, s.doubtful = s.mine, drops && s.waits()
		return
	}
	s.done = s.begun && e.Seq > s.start
}

// unsure reports whether the events seen so far leave the session's state unknown.
func (s *standing) unsure() bool { return s.outcome == "" && !s.replayed && !s.targeted() }

// is records what the server says about the session; last says that no events are left to read.
func (s *standing) is(status schema.SessionStatus, last bool) {
	s.replayed, s.running = true, !status.Final()
	if status.Final() && last {
		s.outcome = status
	}
}

// settle ends the watch of a session in which nothing runs: its log was read to the head.
func (s *standing) settle() {
	if !s.targeted() {
		s.done = s.outcome != ""
	}
}

func (s *standing) dropped() error {
	if s.follow.Message > 0 && !s.mine {
		return &DroppedError{Message: s.follow.Message}
	}
	return nil
}

func decoded[T any](e schema.Event) T {
	var d T
	_ = json.Unmarshal(e.Data, &d)
	return d
}
