// Package testsignal lets a test know that something has happened inside a part, where it would otherwise have to sleep and
// hope. A part has a [Signal] as a field, which does nothing until a test calls its Init: in production a signal costs one
// comparison.
//
//	type writer struct {
//		held testsignal.Signal // a write waits for room
//	}
//
// The test waits by testkit.Receive(t, "a write that waits", w.held.C()).
//
// Imports: nothing of this module.
// Imported by: activities/runner/spool, schema/store, web/control.
package testsignal

// most is how many signals are kept for a test that has not received them yet; more are dropped.
const most = 100

// Signal is something that happens. The zero value is for production.
type Signal struct{ c chan struct{} }

// Init lets a test hear of the signal. It is called before anything signals.
func (s *Signal) Init() { s.c = make(chan struct{}, most) }

// Signal says that it has happened. It never blocks.
func (s *Signal) Signal() {
	if s.c == nil {
		return
	}
	select {
	case s.c <- struct{}{}:
	default:
	}
}

// C receives a value each time that it has happened.
func (s *Signal) C() <-chan struct{} { return s.c }
