package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

var badPrefixes = []string{"a", "abc", "ABCD", "abcg", "abcd_", "aaaa11112", "aaaa1111-00000", "%%%%", "aaaa1111-0000-4000-8000-0000000000010", "\x00\x00\x00\x00"}

func TestSessions_ArePickedByTheBeginningOfTheirID(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ids := []string{"aaaa0000-0000-4000-8000-000000000000", "aaaa1111-0000-4000-8000-000000000001", "aaaaffff-ffff-4fff-bfff-ffffffffffff", "bbbb1111-0000-4000-8000-000000000003"}
	for _, id := range ids {
		newSession(t, s, func(n *store.NewSession) { n.ID = id })
	}
	gone := newSession(t, s, func(n *store.NewSession) { n.ID = "bbbb2222-0000-4000-8000-000000000004" })
	must(t, s.DeleteSession(context1(t), gone.ID, "ann"))
	for prefix, want := range map[string][]string{
		"": ids, "aaaa": ids[:3], "aaaa1": ids[1:2], "aaaaffff-f": ids[2:3], "bbbb": ids[3:], "cccc": {}, "bbbb2222": {}, "aaaa1111-": ids[1:2], ids[0]: ids[:1], "9999": {},
	} {
		list, total, next, err := s.Sessions(context1(t), store.SessionFilter{Prefix: prefix})
		must(t, err)
		got := make([]string, 0, len(list))
		for i := range list {
			got = append(got, list[i].ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) || total != len(want) || next != "" {
			t.Errorf("%q picks %v of %d, not %v", prefix, got, total, want)
		}
	}
	if list, total, _, err := s.Sessions(context1(t), store.SessionFilter{Prefix: "aaaa", Limit: 2}); err != nil || len(list) != 2 || total != 3 {
		t.Errorf("two of three: %d of %d, %v", len(list), total, err)
	}
	for _, bad := range badPrefixes {
		_, _, _, err := s.Sessions(context1(t), store.SessionFilter{Prefix: bad})
		mustFail(t, err, schema.CodeInvalid)
	}
}

func TestApprovals_ArePickedByTheBeginningOfTheirID(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	var open []schema.ApprovalOpen
	b, other := newRun(t, s), newRun(t, s)
	for i := range 3 {
		open = append(open, schema.ApprovalOpen{
			ID: fmt.Sprintf("aaaa%d000-0000-4000-8000-000000000000", i), Type: schema.ApprovalStep, ExpiresAt: time.Now().Add(time.Hour),
		})
	}
	ask := func(b began, open ...schema.ApprovalOpen) {
		_, err := s.Apply(context1(t), schema.Transition{SessionID: b.session, RunID: b.run, Key: "ask", Status: schema.SessionActive, Phase: schema.PhaseExecuting, Open: open})
		must(t, err)
	}
	ask(b, open[:2]...)
	ask(other, open[2])
	pick := func(f store.ApprovalFilter) string {
		list, _, err := s.Approvals(context1(t), f)
		must(t, err)
		n, err := s.CountApprovals(context1(t), f)
		must(t, err)
		if n != len(list) {
			t.Errorf("%+v picks %d, and counts %d", f, len(list), n)
		}
		var got []string
		for i := range list {
			got = append(got, list[i].ID[:5])
		}
		slices.Sort(got)
		return strings.Join(got, " ")
	}
	for prefix, want := range map[string]string{"aaaa": "aaaa0 aaaa1 aaaa2", "aaaa1": "aaaa1", open[2].ID: "aaaa2", "aaab": "", "": "aaaa0 aaaa1 aaaa2"} {
		if got := pick(store.ApprovalFilter{Prefix: prefix}); got != want {
			t.Errorf("%q picks %q, not %q", prefix, got, want)
		}
	}
	if got := pick(store.ApprovalFilter{Prefix: "aaaa", SessionID: b.session, Status: schema.ApprovalPending}); got != "aaaa0 aaaa1" {
		t.Errorf("of the session: %q", got)
	}
	must(t, s.DeleteSession(context1(t), b.session, "ann"))
	if got := pick(store.ApprovalFilter{Prefix: "aaaa", Open: true}); got != "aaaa2" {
		t.Errorf("after its session was deleted: %q", got)
	}
	for _, bad := range badPrefixes {
		_, _, err := s.Approvals(context1(t), store.ApprovalFilter{Prefix: bad})
		mustFail(t, err, schema.CodeInvalid)
	}
}
