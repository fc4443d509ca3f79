//go:build unix

package supervisor

import (
	"fmt"

	"github.com/holdfast/holdfast/activities/runner/network"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
)

// prepareNetwork makes the router of a step with a network before the program starts, so that
// nothing in it can fail afterwards.
func (s *supervisor) prepareNetwork() error {
	if !s.spec.Sandbox.Network || s.spec.Sandbox.Mode == sandbox.Off {
		return nil
	}
	s.spec.Sandbox.Listed = s.spec.NetworkAllow != nil
	var err error
	if s.router, err = network.New(network.Options{Allow: s.spec.NetworkAllow, Refused: s.spec.NetworkRefused}); err != nil {
		return fmt.Errorf("prepare the step's network: %w", err)
	}
	return nil
}

// serveNetwork has the router carry the program's traffic for the life of this process. If the step
// uses the worker's network, there is nothing to carry.
func (s *supervisor) serveNetwork() {
	if link := s.child.Link; link != nil {
		s.router.Serve(link)
	}
}
