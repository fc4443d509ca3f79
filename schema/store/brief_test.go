package store_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// text is JSON of this many bytes, which Postgres can or cannot compress.
func text(bytes int, packs bool) string {
	var b strings.Builder
	for b.Len() < bytes {
		if packs {
			b.WriteString("aaaaaaaa")
		} else {
			b.WriteString(schema.NewID())
		}
	}
	return `"` + b.String()[:bytes-2] + `"`
}

// asks opens approvals with these contexts, in this order.
func (b began) asks(t *testing.T, s *store.Store, contexts ...string) (ids []string) {
	t.Helper()
	tr := schema.Transition{SessionID: b.session, RunID: b.run, Key: "ask", Status: schema.SessionActive, Phase: schema.PhaseExecuting}
	now := time.Now()
	for i, c := range contexts {
		ids = append(ids, schema.AskID(b.run, "make", strconv.Itoa(i)))
		tr.Open = append(tr.Open, schema.ApprovalOpen{
			ID: ids[i], StepID: "make", Type: schema.ApprovalProgramAsk, Context: []byte(c),
			CreatedAt: now.Add(time.Duration(i) * time.Millisecond), ExpiresAt: now.Add(time.Hour),
		})
	}
	_, err := s.Apply(context1(t), tr)
	must(t, err)
	return ids
}

func TestSession_CarriesShortContextsAndSaysWhichAreLeftOut(t *testing.T) {
	t.Parallel()
	const most = 4 << 10
	s := storetest.New(t)
	b := newRun(t, s)
	contexts := []string{
		`{"a": 1}`, `null`, `""`, text(most, true), text(most, false), text(most+1, true), text(most+1, false), text(64<<10, true), text(64<<10, false), `{}`,
	}
	whole := []bool{true, true, true, true, true, false, false, false, false, true}
	ids := b.asks(t, s, contexts...)
	check := func(where string, list []schema.Approval) {
		t.Helper()
		if len(list) != len(contexts) {
			t.Fatalf("%s has %d of %d", where, len(list), len(contexts))
		}
		for i, a := range list {
			want := contexts[i]
			if !whole[i] {
				want = `{}`
			}
			if a.ID != ids[i] || string(a.Context) != want || a.ContextTruncated == whole[i] {
				t.Errorf("%s: of %d bytes are left %d, truncated: %t", where, len(contexts[i]), len(a.Context), a.ContextTruncated)
			}
		}
	}
	session, err := s.Session(context1(t), b.session)
	must(t, err)
	check("the session", session.PendingApprovals)
	list, _, err := s.Approvals(context1(t), store.ApprovalFilter{Brief: true})
	must(t, err)
	slices.Reverse(list)
	check("a brief list", list)
	for i, id := range ids {
		a, err := s.Approval(context1(t), id)
		must(t, err)
		if string(a.Context) != contexts[i] || a.ContextTruncated {
			t.Errorf("by itself: %d bytes of %d, truncated: %t", len(a.Context), len(contexts[i]), a.ContextTruncated)
		}
		whole[i] = true
	}
	list, _, err = s.Approvals(context1(t), store.ApprovalFilter{})
	must(t, err)
	slices.Reverse(list)
	check("a whole list", list)
	sessions, _, _, err := s.Sessions(context1(t), store.SessionFilter{})
	must(t, err)
	for _, a := range sessions[0].PendingApprovals {
		if string(a.Context) != `{}` || !a.ContextTruncated {
			t.Errorf("in a list of sessions: %.100s, truncated: %t", a.Context, a.ContextTruncated)
		}
	}
}

func TestSession_CarriesOnlySoMuchOfAllContextsTogether(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	const n = 40
	contexts := make([]string, n)
	for i := range contexts {
		contexts[i] = text(4<<10, false)
	}
	b.asks(t, s, contexts...)
	session, err := s.Session(context1(t), b.session)
	must(t, err)
	size, whole := 0, 0
	for i, a := range session.PendingApprovals {
		size += len(a.Context)
		if !a.ContextTruncated {
			whole++
			if string(a.Context) != contexts[i] {
				t.Errorf("number %d has %.100s", i, a.Context)
			}
		}
	}
	if len(session.PendingApprovals) != n || whole != 16 || size > 66<<10 {
		t.Errorf("%d approvals, %d with their context, %d bytes", len(session.PendingApprovals), whole, size)
	}
}
