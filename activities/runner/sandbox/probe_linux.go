package sandbox

import (
	"os"
	"slices"
)

// Probe says which layers this host gives a step, by building a sandbox that runs nothing. exe is the
// supervisor program.
func Probe(exe string) []Status {
	all := func(why string) []Status {
		var out []Status
		for _, l := range Layers() {
			out = append(out, Status{Layer: l, Why: why})
		}
		return out
	}
	dir, err := os.MkdirTemp("", "holdfast-probe-*")
	if err != nil {
		return all(err.Error())
	}
	defer os.RemoveAll(dir)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return all(err.Error())
	}
	defer null.Close()
	s := &Spec{Mode: Weakened, Argv: []string{"true"}, Dir: dir, Processes: 1000, MemoryBytes: 1 << 30, CPUs: 1}
	if s.Cgroup, err = FindCgroup(); err != nil {
		s.Cgroup = ""
	}
	noGroup := err
	c, err := s.startInit(exe, true, null, null)
	if err != nil {
		return all(err.Error())
	}
	_ = c.abandon(nil) // it has reported, and has nothing else to do
	_ = c.Close()      // a leftover empty group is swept
	var out []Status
	for _, l := range Layers() {
		s := Status{Layer: l, On: true}
		if i := slices.IndexFunc(c.Missing, func(m Status) bool { return m.Layer == l }); i >= 0 {
			s = c.Missing[i]
			if noGroup != nil && !l.Required() {
				s.Why = noGroup.Error()
			}
		}
		out = append(out, s)
	}
	return out
}
