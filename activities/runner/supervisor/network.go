//go:build unix

package supervisor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/activities/runner/network"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
)

// serveNetwork gives a step with a network its router, which lives as long as this process. A
// list of places can be held only there.
func (s *supervisor) serveNetwork() error {
	link := s.child.Link
	if link == nil {
		if s.spec.Sandbox.Network && s.spec.NetworkAllow != nil && s.spec.Sandbox.Mode != sandbox.Off {
			s.endChild()
			return schema.Errorf(schema.CodeUnsupported, "the step is refused: its network is to be kept to a list of places, and this host gives it no network of its own")
		}
		return nil
	}
	_, err := network.New(network.Options{Device: link, Allow: s.spec.NetworkAllow, Refused: s.spec.NetworkRefused})
	if err != nil {
		s.endChild()
		return errors.Join(fmt.Errorf("start the step's network: %w", err), link.Close())
	}
	return nil
}

// endChild ends a program that must not go on.
func (s *supervisor) endChild() {
	_ = unix.Kill(s.child.Pid, unix.SIGKILL)
	killTree()
}
