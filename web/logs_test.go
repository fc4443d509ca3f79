package web_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/web"
)

// said are the lines with a message, as what they say of an attribute.
func said(t *testing.T, lines *testkit.Screen, msg, attr string) (all []string) {
	t.Helper()
	for line := range strings.Lines(lines.String()) {
		var m map[string]any
		must(t, json.Unmarshal([]byte(line), &m))
		if m["msg"] == msg {
			value, _ := m[attr].(string)
			all = append(all, value)
		}
	}
	return all
}

func TestLog_SaysWhereWebListensAndWhatItLosesAndFinds(t *testing.T) {
	t.Parallel()
	lines := &testkit.Screen{}
	temporal := newProxy(t, temporalServer.Addr())
	var postgres *proxy
	e := start(t, func(s *setup) {
		s.temporal = temporal.addr
		s.store = throughProxy(t, &postgres)
		s.options = func(o *web.Options) { o.Logger = logs.New(lines, logs.FormatJSON, slog.LevelInfo) }
	})
	says := func(msg, dependency string, times int) {
		t.Helper()
		count := func() (n int) {
			for _, name := range said(t, lines, msg, "dependency") {
				if name == dependency {
					n++
				}
			}
			return n
		}
		testkit.Eventually(t, msg+" of "+dependency, func() bool { return count() >= times })
		if got := count(); got != times {
			t.Errorf("%q was said %d times of %s, want %d", msg, got, dependency, times)
		}
	}
	for dependency, p := range map[string]*proxy{"postgres": postgres, "temporal": temporal} {
		says("dependency found", dependency, 1)
		p.down()
		says("dependency lost", dependency, 1)
		for range 5 { // requests meanwhile say nothing of their own at WARN
			e.do("GET", "/api/ready", "")
		}
		p.up()
		says("dependency found", dependency, 2)
		says("dependency lost", dependency, 1)
	}
	if got := said(t, lines, "listening", "addr"); len(got) != 1 || "http://"+got[0] != e.url {
		t.Errorf("web listens on %s, and says %v", e.url, got)
	}
}
