package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Unlike rates and latencies, processor time does not depend on what else the machine does.

// parts are the processes of the product, as up.json names them.
var parts = []string{"web", "worker", "temporal", "postgres"}

// cpu is the processor time that each part of the product, and this process as "bench", has
// taken so far, in milliseconds.
func (w *world) cpu() (map[string]float64, error) {
	spent := map[string]float64{}
	for _, part := range parts {
		pid, err := w.pid(part)
		if err != nil {
			return nil, err
		}
		if spent[part], err = processorTime(pid); err != nil {
			return nil, err
		}
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return nil, err
	}
	spent["bench"] = milliseconds(time.Duration(self.Utime.Nano() + self.Stime.Nano()))
	return spent, nil
}

// processorTime is that of a process and its children, including those that have ended.
func processorTime(pid int) (float64, error) {
	own, _, err := stat(pid)
	if err != nil {
		return 0, err
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, dir := range all {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if spent, parent, err := stat(child); err == nil && parent == pid { // the parent accounts for one that has just ended
			own += spent
		}
	}
	return own, nil
}

// stat reads the processor time and the parent of a process.
func stat(pid int) (spent float64, parent int, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	const tick = 10.0 // milliseconds: USER_HZ is 100 on every Linux
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest) // from the third on: state, ppid, …; utime is the 14th
	if len(fields) < 15 {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	if parent, err = strconv.Atoi(fields[1]); err != nil {
		return 0, 0, err
	}
	for _, field := range fields[11:15] { // its own, and that of children it has waited for
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, 0, err
		}
		spent += n * tick
	}
	return spent, parent, nil
}

// charged does some work and returns the processor time that each part took meanwhile.
func (w *world) charged(work func() error) (map[string]float64, error) {
	before, err := w.cpu()
	if err != nil {
		return nil, err
	}
	if err := work(); err != nil {
		return nil, err
	}
	after, err := w.cpu()
	if err != nil {
		return nil, err
	}
	for part := range after {
		after[part] -= before[part]
	}
	return after, nil
}

// account is the processor time of some work, by part, for each piece of work.
type account map[string]rounds

// charge adds the time of many pieces of work as one round.
func (a account) charge(spent map[string]float64, many int) {
	total := 0.0
	for part, took := range spent {
		each := took / float64(many)
		a[part] = append(a[part], []float64{each})
		if part != "bench" {
			total += each
		}
	}
	a["product"] = append(a["product"], []float64{total})
}

// bareTotal is what a bare workflow takes: Temporal's time, and that of the worker and client here.
func (a account) bareTotal() rounds {
	var total rounds
	for i := range a["temporal"] {
		total = append(total, []float64{a["temporal"][i][0] + a["bench"][i][0]})
	}
	return total
}

// measurements compares our account with that of the reference.
func (a account) measurements(bare account) []measurement {
	list := []measurement{compared("processor time of each; bare: of Temporal and the bare worker", "ms", a["product"], bare.bareTotal())}
	for _, part := range parts {
		var of rounds
		if part == "temporal" {
			of = bare[part]
		}
		list = append(list, compared("of it "+part, "ms", a[part], of))
	}
	return list
}
