package runner

import (
	"container/list"
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/schema"
)

// Slots are the cores and memory of a host. Steps take from them what their plan declares. Steps
// that do not fit wait, first come, first served, so that small steps do not overtake a large one
// for ever. A step that declares nothing takes nothing and never waits here.
type Slots struct {
	cores float64
	bytes int64

	anyMemory bool // the amount of memory is unknown

	mu        sync.Mutex
	usedCores float64
	usedBytes int64
	waiting   list.List // of *claim
}

type claim struct {
	cpu    float64
	memory int64
	given  chan struct{}
}

// NewSlots makes the slots of a host with these cores and bytes of memory; 0 bytes means unknown,
// and then memory does not count.
func NewSlots(cores float64, bytes int64) *Slots {
	return &Slots{cores: cores, bytes: bytes, anyMemory: bytes <= 0}
}

// Acquire takes what a step declares, waiting if necessary. Call release once the step has ended. A
// step that asks for more than the host has gets [schema.CodeInvalid] at once; if its context ends
// while it waits, it gets the cause.
func (s *Slots) Acquire(ctx context.Context, cpu float64, memory int64) (release func(), err error) {
	c := &claim{cpu: max(cpu, 0), memory: max(memory, 0), given: make(chan struct{})}
	if c.cpu > s.cores {
		return nil, schema.Errorf(schema.CodeInvalid, "the step asks for cpu %s, and this host has %s", number(c.cpu), number(s.cores))
	}
	if s.anyMemory {
		c.memory = 0
	}
	if c.memory > s.bytes && !s.anyMemory {
		asked, has := schema.Sizes(c.memory, s.bytes)
		return nil, schema.Errorf(schema.CodeInvalid, "the step asks for %s of memory, and this host has %s", asked, has)
	}
	if c.cpu == 0 && c.memory == 0 {
		return func() {}, nil
	}
	s.mu.Lock()
	place := s.waiting.PushBack(c)
	s.serve()
	s.mu.Unlock()
	select {
	case <-c.given:
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case <-c.given: // given at the same moment: give it back
			s.giveBack(c)
		default:
			s.waiting.Remove(place)
			s.serve() // those behind it may fit
		}
		return nil, context.Cause(ctx)
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.giveBack(c)
		})
	}, nil
}

// Occupy takes what a step already uses because it ran before this worker. There may be less than
// that; then nobody gets anything until there is more.
func (s *Slots) Occupy(cpu float64, memory int64) (release func()) {
	c := &claim{cpu: max(cpu, 0), memory: max(memory, 0)}
	s.mu.Lock()
	s.usedCores += c.cpu
	s.usedBytes += c.memory
	s.mu.Unlock()
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.giveBack(c)
		})
	}
}

// Waiting is how many steps wait.
func (s *Slots) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting.Len()
}

func (s *Slots) giveBack(c *claim) {
	s.usedCores -= c.cpu
	s.usedBytes -= c.memory
	s.serve()
}

// serve gives the first waiting steps what they ask for, as far as it goes.
func (s *Slots) serve() {
	const rounding = 1e-9 // ten times 0.1 must make one core
	for first := s.waiting.Front(); first != nil; first = s.waiting.Front() {
		c, ok := first.Value.(*claim)
		if !ok || s.usedCores+c.cpu > s.cores+rounding || (!s.anyMemory && s.usedBytes+c.memory > s.bytes) {
			return
		}
		s.usedCores += c.cpu
		s.usedBytes += c.memory
		s.waiting.Remove(first)
		close(c.given)
	}
}

// HostSlots are those of this host: the cores that the Go runtime may use, which respects
// affinity and a container's quota, and the memory of the machine or container.
func HostSlots() *Slots {
	return NewSlots(float64(min(runtime.NumCPU(), runtime.GOMAXPROCS(0))), hostMemory())
}

// hostMemory is in bytes; 0 if unknown, as on systems without /proc.
func hostMemory() int64 {
	total := int64(0)
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
				kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64) // 0 means unknown
				total = kib << 10
			}
		}
	}
	for _, limit := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(limit)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is not a number
		if err == nil && n > 0 && (total == 0 || n < total) {
			total = n
		}
	}
	return total
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
