package workflows

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"

	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// Temporal's limits are fixed, but what people send is not: while the loop waits for an activity,
// commands pile up. What is too much for one transition waits for the next, in order; what could
// never fit is refused at once.

// Limits in bytes of the JSON sent to Temporal, where `<` takes six. Temporal refuses a payload of
// more than 2 MiB (limit.blobSize.error of its dynamic configuration) and ends the workflow, gRPC
// refuses a message of more than 4 MiB, and a history ends at 50 MiB (limit.historySize.error).
const (
	// A transition may have one element more than fits: the largest is the end of an approval with
	// modifications, of 1 MiB.
	maxTransition = 512 << 10
	// The total size of a transition in all the steps that it is sent with.
	maxCarriedTransition = 1 << 20
	// State when it is carried over.
	maxStateBytes = 1_900 << 10
	// What somebody says goes through a history at most three times. From this size on only short
	// commands are accepted, until the session continues as new.
	fullHistory  = 12 << 20
	smallCommand = 16 << 10
	// Feedback that waits for the steps that it is for.
	maxFeedbackHeld = 256 << 10
	// Signals accepted between two transitions.
	maxSignals = 200
	// What an audit entry cites of a refused signal, in characters.
	maxExcerpt = 500
)

// encodedSize is the size of v in a history, in bytes.
func encodedSize(v any) int {
	text, err := json.Marshal(v)
	if err != nil {
		return 0 // it will not be sent either
	}
	return len(text)
}

// excerpt is the beginning of a text, at most maxExcerpt characters.
func excerpt(text string) string {
	if utf8.RuneCountInString(text) <= maxExcerpt {
		return text
	}
	return string([]rune(text)[:maxExcerpt]) + "…"
}

// sizeOf is the size of an element in a transition.
func sizeOf[T any](element *T) int {
	n := encodedSize(element)
	if m, ok := any(element).(*schema.MessageChange); ok && m.Text != nil {
		n += m.Text.Bytes // Postgres receives it in the same transaction
	}
	return n
}

// budget is the space left in a transition.
type budget struct {
	left int
	some bool // the transition has at least one element
	full bool
}

// pack takes elements in order while the budget lasts, except those that wait for another one. The
// rest is left for later.
func pack[T any](b *budget, from []T, waits func(*T) bool) (in, rest []T) {
	for i := range from {
		if waits != nil && waits(&from[i]) {
			rest = append(rest, from[i])
			continue
		}
		if !b.full {
			size := sizeOf(&from[i])
			b.full = b.some && size > b.left
			b.left -= size
			b.some = true
		}
		if b.full {
			rest = append(rest, from[i])
		} else {
			in = append(in, from[i])
		}
	}
	return in, rest
}

// fits reports whether a transition is small enough as it is.
func fits(t *schema.Transition, limit int) bool {
	_, rest := divide(t, limit, false)
	return isEmpty(&rest)
}

func isEmpty(t *schema.Transition) bool {
	lists := len(t.Steps) + len(t.Open) + len(t.Close) + len(t.Extend) + len(t.Messages) + len(t.Audit) + len(t.Notes)
	return lists == 0 && t.End == nil
}

// divide splits a transition into what fits and the rest. The end of a run comes last of all. If
// apart, an approval opened here is not closed or extended in the same part, but after it.
func divide(t *schema.Transition, limit int, separate bool) (in, rest schema.Transition) {
	opened := map[string]bool{}
	for i := range t.Open {
		opened[t.Open[i].ID] = separate
	}
	b := &budget{left: limit}
	in.Messages, rest.Messages = pack(b, t.Messages, nil)
	in.Steps, rest.Steps = pack(b, t.Steps, nil)
	in.Close, rest.Close = pack(b, t.Close, func(c *schema.ApprovalClose) bool { return opened[c.ID] })
	in.Extend, rest.Extend = pack(b, t.Extend, func(e *schema.ApprovalExtend) bool { return opened[e.ID] })
	in.Open, rest.Open = pack(b, t.Open, nil)
	in.Notes, rest.Notes = pack(b, t.Notes, nil)
	in.Audit, rest.Audit = pack(b, t.Audit, nil)
	if t.End != nil {
		if isEmpty(&rest) && (!b.some || encodedSize(t.End) <= b.left) {
			in.End = t.End
		} else {
			rest.End = t.End
		}
	}
	return in, rest
}

// bounded reports whether this execution limits its transitions. It is only called when it makes a
// difference.
func (s *session) bounded(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, changeBounded, workflow.DefaultVersion, 1) != workflow.DefaultVersion
}

// nextTransition is the next transition to record.
func (s *session) nextTransition(ctx workflow.Context) schema.Transition {
	if !fits(&s.state.Pending, maxTransition) && !s.bounded(ctx) {
		return s.state.takePending(math.MaxInt)
	}
	return s.state.TakePending()
}

// canCarryTransition reports whether the steps that may start now can carry the transition.
func (s *session) canCarryTransition(ctx workflow.Context, t *schema.Transition) bool {
	n := len(s.state.Startable(workflow.Now(ctx)))
	if n == 0 {
		return false
	}
	small := !s.state.Dirty() && encodedSize(t)*n <= maxCarriedTransition
	return small || !s.bounded(ctx)
}

// canCarry reports whether State is small enough to be carried over.
func (s *State) canCarry() bool {
	s.compact()
	return encodedSize(s) <= maxStateBytes
}

// compact drops what no later move needs.
func (s *State) compact() {
	for i := range s.Run.Steps {
		if st := &s.Run.Steps[i]; st.Status.Final() {
			st.Feedback = ""
		}
	}
}

// checkSender refuses a command with an overlong sender name.
func checkSender(by schema.Command) error {
	if len(by.Actor) > schema.MaxActorBytes {
		most := fmt.Sprintf("at most %d bytes", schema.MaxActorBytes)
		return invalid("the actor's name is too long: "+most, "actor", most, len(by.Actor))
	}
	if len(by.RequestID) > schema.MaxRequestIDBytes {
		most := fmt.Sprintf("at most %d bytes", schema.MaxRequestIDBytes)
		return invalid("the request_id is too long: "+most, "request_id", most, len(by.RequestID))
	}
	return nil
}

// checkHistorySpace refuses a command that is too large for the rest of the history.
func checkHistorySpace(ctx workflow.Context, command any) error {
	if workflow.GetInfo(ctx).GetCurrentHistorySize() < fullHistory || encodedSize(command) <= smallCommand {
		return nil
	}
	return schema.Errorf(schema.CodeUnavailable, "the session has more to record than fits at once; try again in a moment")
}

// feedbackHeld is the size of the feedback that waits for its steps.
func (s *State) feedbackHeld() int {
	n := 0
	for i := range s.Run.Steps {
		if st := &s.Run.Steps[i]; st.Feedback != "" && !st.Status.Final() {
			n += encodedSize(st.Feedback)
		}
	}
	return n
}
