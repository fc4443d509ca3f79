//go:build unix

package supervisor

import (
	"fmt"
	"sync"
	"time"

	"github.com/holdfast/holdfast/schema"
)

const (
	// sampleEvery is how often a step's use is measured and reported.
	sampleEvery = time.Second
	// watchEvery is how often it is measured while nothing else limits the step's memory.
	watchEvery = 50 * time.Millisecond
	// slowReportAfter is the age after which it is reported every ten seconds: a log is finite.
	slowReportAfter = time.Hour
)

// use is what all processes of a step use together.
type use struct {
	cpu       time.Duration
	rss       int64
	read      int64
	write     int64
	processes int
	pids      []int // of the program's processes
}

// sampler measures and reports what the step uses, and ends the step if it is too much.
type sampler struct {
	s       *supervisor
	stop    chan struct{}
	stopped chan struct{}

	// Only run uses these, until it has stopped.
	last   use
	peak   int64
	oom    uint64       // of the whole host, when the step began
	memory *memoryWatch // nil if nothing limits it, or a cgroup does
}

func newSampler(s *supervisor) *sampler {
	m := &sampler{s: s, stop: make(chan struct{}), stopped: make(chan struct{}), oom: hostOOMKills()}
	if limit := s.spec.Sandbox.MemoryBytes; limit > 0 && !s.hasMemoryGroup() {
		m.memory = &memoryWatch{limit: limit, segments: s.child.Segments}
	}
	return m
}

// watchQuota checks what the step keeps on the disk, in parallel to run because it may take longer.
func (m *sampler) watchQuota() {
	box := &m.s.spec.Sandbox
	q := quotaWatch{
		work: box.Dir, tmp: box.Tmp, bytes: m.s.spec.QuotaBytes, files: m.s.spec.QuotaFiles,
		stop: m.stop, nameless: func() usage { return heldBy(treeUse(m.initPid()).pids, box.Dir, box.Tmp).nameless },
	}
	q.run(func(why string) { m.end(schema.ReasonDiskQuota, why) })
}

func (m *sampler) run() {
	var quota sync.WaitGroup
	quota.Go(m.watchQuota)
	defer func() {
		quota.Wait()
		close(m.stopped)
	}()
	every := sampleEvery
	limit := m.s.spec.Sandbox.MemoryBytes
	if m.memory != nil {
		every = watchEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	m.early()
	var reported schema.StepProgressData
	reportedAt, began := time.Now(), time.Now()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
		}
		now := m.look()
		if m.memory != nil && now.rss > limit {
			used, may := schema.Sizes(now.rss, limit)
			m.end(schema.ReasonOutOfMemory, fmt.Sprintf("it used %s of memory; the limit is %s", used, may))
		}
		if most := m.s.spec.Sandbox.Processes; most > 0 && now.processes > most {
			m.end(schema.ReasonProcesses, fmt.Sprintf("it had %d processes; the limit is %d", now.processes, most))
		}
		wait := sampleEvery
		if time.Since(began) > slowReportAfter {
			wait = 10 * sampleEvery
		}
		if time.Since(reportedAt) < wait-every/2 || now.processes == 0 { // none: it has just ended
			continue
		}
		stats := schema.StepProgressData{
			Attempt: m.s.spec.Attempt, CPUSeconds: hundredths(now.cpu), RSSBytes: now.rss, ReadBytes: now.read, WriteBytes: now.write, Processes: now.processes,
		}
		if stats == reported {
			continue
		}
		reported, reportedAt = stats, time.Now()
		stats.ElapsedMS = time.Since(began).Milliseconds()
		m.s.workers.send(Report{Is: IsStats, Stats: &stats})
	}
}

// early measures the memory of a step that may end soon: the kernel's own figure includes what the
// process had before it became the program.
func (m *sampler) early() {
	for wait := 2 * time.Millisecond; wait < sampleEvery/4; wait *= 2 {
		select {
		case <-m.stop:
			return
		case <-time.After(wait):
			m.look()
		}
	}
}

// hundredths rounds to what the kernel can resolve: it counts in ticks.
func hundredths(d time.Duration) float64 { return d.Round(10 * time.Millisecond).Seconds() }

// initPid is the process above the program, 0 if there is none.
func (m *sampler) initPid() int {
	if m.s.hasInit() {
		return m.s.child.Pid
	}
	return 0
}

func (m *sampler) look() use {
	now := treeUse(m.initPid())
	if m.memory != nil {
		m.memory.correct(&now)
	}
	// A process that ends takes its figures with it, so keep totals from decreasing.
	now.cpu, now.read, now.write = max(now.cpu, m.last.cpu), max(now.read, m.last.read), max(now.write, m.last.write)
	m.last, m.peak = now, max(m.peak, now.rss)
	return now
}

func (m *sampler) end(reason schema.Reason, message string) {
	select {
	case m.s.endReasons <- endReason{reason, message}:
	default: // it is already being ended
	}
}

// finalize stops the sampler, and completes the exit with its measurements.
func (m *sampler) finalize(e *Exit) {
	close(m.stop)
	<-m.stopped
	e.CPUSeconds = max(e.CPUSeconds, hundredths(m.last.cpu))
	e.MaxRSSBytes = max(e.MaxRSSBytes, m.peak)
	e.ReadBytes, e.WriteBytes = max(e.ReadBytes, m.last.read), max(e.WriteBytes, m.last.write)
	switch {
	case e.Reason != "":
	case m.s.child.Group != nil && m.s.child.Group.OOMKills() > 0,
		e.Signal == "SIGKILL" && !e.Stopped && hostOOMKills() > m.oom:
		e.Reason, e.Message = schema.ReasonOutOfMemory, "the kernel ended it because memory ran out"
	case e.Signal == "SIGXFSZ":
		e.Reason, e.Message = schema.ReasonDiskQuota, "it wrote a file of more than "+schema.Size(m.s.spec.Sandbox.FileBytes)
	}
}
