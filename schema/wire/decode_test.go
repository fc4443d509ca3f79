package wire_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

func TestDecode_ReadsEachTypeOfFrame(t *testing.T) {
	t.Parallel()
	no := false
	head := func(kind string) wire.Header { return wire.Header{Type: kind, RequestID: "r"} }
	want := []wire.ClientFrame{
		&wire.SubscribeFrame{Header: head(wire.FrameSubscribe), SessionID: "s", Since: 9_007_199_254_740_993, Presence: &no},
		&wire.UnsubscribeFrame{Header: head(wire.FrameUnsubscribe), SessionID: "s"},
		&wire.ViewingFrame{Header: head(wire.FrameViewing), SessionID: "s", ApprovalID: schema.NewID()},
		&wire.SubscribeSessionsFrame{Header: head(wire.FrameSubscribeSessions)},
		&wire.UnsubscribeSessionsFrame{Header: head(wire.FrameUnsubscribeSessions)},
		&wire.PingFrame{Header: head(wire.FramePing)},
		&wire.CommandFrame{Header: head(wire.FrameSuspend), SessionID: "s"},
		&wire.CommandFrame{Header: head(wire.FramePause), SessionID: "s"},
		&wire.CommandFrame{Header: head(wire.FrameResume), SessionID: "s"},
		&wire.CommandFrame{Header: head(wire.FrameCancel), SessionID: "s"},
		&wire.MessageFrame{Header: head(wire.FrameMessage), SessionID: "s", Content: "hé"},
		&wire.QueryFrame{Header: head(wire.FrameQuery), SessionID: "s", Name: "plan"},
		&wire.ResolveApprovalFrame{
			Header: head(wire.FrameResolveApproval), ApprovalID: "a", Resolution: "modified", Feedback: "so", Modifications: []byte(`{"shell":"true"}`),
		},
		&wire.ReopenApprovalFrame{Header: head(wire.FrameReopenApproval), ApprovalID: "a"},
	}
	if len(want) != len(wire.ClientFrames) {
		t.Errorf("the test knows %d types of frames, and there are %d", len(want), len(wire.ClientFrames))
	}
	for _, f := range want {
		got, id, err := wire.Decode(schema.Marshal(f))
		if err != nil || id != "r" || !reflect.DeepEqual(got, f) {
			t.Errorf("%s: got %+v, request id %q, %v", f.Head().Type, got, id, err)
		}
	}
}

func TestDecode_RefusesWhatBreaksARule(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 129)
	for name, c := range map[string]struct {
		text, location, message string
	}{
		"not JSON":               {`{`, "", `a frame is a JSON object with a type, such as {"type":"ping"}`},
		"not an object":          {`["ping"]`, "", `a frame is a JSON object`},
		"null":                   {`null`, "", `a frame is a JSON object`},
		"not UTF-8":              {"{\"type\":\"\xff\"}", "", "a frame must be valid UTF-8"},
		"no type":                {`{}`, "frame.type", "allowed are subscribe, unsubscribe, viewing,"},
		"an unknown type":        {`{"type":"dance"}`, "frame.type", "reopen_approval"},
		"a type that is none":    {`{"type":7}`, "frame.type", "this must be a string"},
		"a missing field":        {`{"type":"cancel"}`, "frame.session_id", "this is missing"},
		"an unknown field":       {`{"type":"ping","session_id":"s"}`, "frame.session_id", "there is no such field in a frame of type ping"},
		"another spelling":       {`{"type":"ping","TYPE":"cancel"}`, "frame.TYPE", "there is no such field"},
		"null for a text":        {`{"type":"cancel","session_id":null}`, "frame.session_id", "this must be a string"},
		"a number for a text":    {`{"type":"cancel","session_id":1}`, "frame.session_id", "this must be a string"},
		"a long id":              {`{"type":"cancel","session_id":"` + long + `"}`, "frame.session_id", "this has more than 128 bytes"},
		"a NUL":                  {`{"type":"message","session_id":"s","content":"a\u0000"}`, "frame.content", "this must be text without NUL"},
		"a negative seq":         {`{"type":"subscribe","session_id":"s","since":-1}`, "frame.since", "this must be a whole number, 0 or more"},
		"a fraction of a seq":    {`{"type":"subscribe","session_id":"s","since":1.5}`, "frame.since", "this must be a whole number"},
		"null for a seq":         {`{"type":"subscribe","session_id":"s","since":null}`, "frame.since", "this must be a whole number"},
		"a text for a switch":    {`{"type":"subscribe","session_id":"s","presence":"no"}`, "frame.presence", "this must be true or false"},
		"null for a switch":      {`{"type":"subscribe","session_id":"s","presence":null}`, "frame.presence", "this must be true or false"},
		"a query of nothing":     {`{"type":"query","session_id":"s","name":"weather"}`, "frame.name", "allowed are state, approvals, plan"},
		"long feedback":          {`{"type":"resolve_approval","approval_id":"a","resolution":"approved","feedback":"` + strings.Repeat("é", 10_001) + `"}`, "frame.feedback", "this has more than 10000 characters"},
		"viewing what is no id":  {`{"type":"viewing","session_id":"s","approval_id":"a"}`, "frame.approval_id", "this must be the id of an approval, or empty"},
		"a request id with NUL":  {`{"type":"ping","request_id":"\u0000"}`, "frame.request_id", "this must be text without NUL"},
		"a request id too long":  {`{"type":"ping","request_id":"` + long + `"}`, "frame.request_id", "this has more than 128 bytes"},
		"a request id, no texts": {`{"type":"ping","request_id":{}}`, "frame.request_id", "this must be a string"},
	} {
		_, id, err := wire.Decode([]byte(c.text))
		if schema.CodeOf(err) != schema.CodeInvalid || !strings.Contains(err.Error(), c.message) || id != "" {
			t.Errorf("%s: %v, request id %q; want %q", name, err, id, c.message)
			continue
		}
		if c.location != "" && !strings.HasPrefix(err.Error(), c.location+": ") {
			t.Errorf("%s: %v; want it at %s", name, err, c.location)
		}
	}
}

func TestDecode_KeepsTheRequestIDOfWhatItRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"type":"cancel","request_id":"r"}`, `{"type":"dance","request_id":"r"}`, `{"type":7,"request_id":"r"}`} {
		if _, id, err := wire.Decode([]byte(text)); err == nil || id != "r" {
			t.Errorf("%s: request id %q, %v", text, id, err)
		}
	}
}

// Everything derived from the tables, including the documents and the clients' types, follows a new
// row; this is what a row must look like.
func TestTables_HoldTogether(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range wire.ClientFrames {
		kind := reflect.TypeOf(row.Frame)
		if _, is := reflect.TypeAssert[wire.ClientFrame](reflect.New(kind)); !is {
			t.Errorf("%s: %s is no frame", row.Type, kind)
		}
		if seen["client "+row.Type] {
			t.Errorf("%s stands there twice", row.Type)
		}
		seen["client "+row.Type] = true
	}
	for _, row := range slices.Concat(schema.Events, wire.ServerFrames) {
		if kind := reflect.TypeOf(row.Data); kind.Kind() != reflect.Struct || !strings.HasSuffix(kind.Name(), "Data") {
			t.Errorf("%s: its data is %s; want a struct whose name ends with Data", row.Type, kind)
		}
		if seen["server "+string(row.Type)] {
			t.Errorf("%s stands there twice", row.Type)
		}
		seen["server "+string(row.Type)] = true
	}
}

func TestFeedback_HasOneBound(t *testing.T) {
	t.Parallel()
	for _, in := range []any{wire.ResolveApprovalFrame{}, wire.ResolveRequest{}} {
		f, _ := reflect.TypeOf(in).FieldByName("Feedback")
		if got := f.Tag.Get("maxLength"); got != "10000" || schema.MaxFeedback != 10_000 {
			t.Errorf("%T takes %s characters, want %d", in, got, schema.MaxFeedback)
		}
	}
}

// The range of an unknown code says what to do.
func TestCloseRules_CoverEveryCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]wire.Action{
		1000: wire.Stop, 1001: wire.AtOnce, 1006: wire.Backoff, 1008: wire.Stop, 1009: wire.Backoff, 1011: wire.Backoff, 1013: wire.Backoff,
		3000: wire.Backoff, 4000: wire.Stop, 4001: wire.Stop, 4401: wire.Stop, 4403: wire.Stop, 4499: wire.Stop, 4500: wire.Backoff, 4999: wire.Backoff,
	} {
		if got := wire.CloseRuleOf(code); got.Action != want || got.Why == "" {
			t.Errorf("%d: %+v, want %s", code, got, want)
		}
	}
	if got := wire.CloseRuleOf(4001).Why; got != "a newer connection of the same client took over" {
		t.Errorf("4001 is told as %q", got)
	}
}

// FuzzFrame: no text makes Decode fail in an unexpected way, and what it accepts means the same
// when it is written again.
func FuzzFrame(f *testing.F) {
	for _, text := range []string{
		`{"type":"ping"}`, `{"type":"subscribe","session_id":"a","since":9007199254740993,"presence":false,"request_id":"r"}`,
		`{"type":"message","session_id":"a","content":"h\u00e9\ud83d\ude00"}`, `{"type":"resolve_approval","approval_id":"a","resolution":"modified","modifications":{"a" : [1, 2]}}`,
		`{"type":"viewing","session_id":"a","approval_id":""}`, `{"type":"query","session_id":"a","name":"state"}`, `{"type":"cancel"}`, `{"type":7}`, `[]`, `null`, `{`,
		`{"type":"ping","TYPE":"cancel"}`, `{"type":"subscribe","session_id":"a","since":1e3}`, "{\"type\":\"\xff\"}", `{"type":"ping","request_id":"\u0000"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, id, err := wire.Decode(text)
		if err != nil {
			if schema.CodeOf(err) != schema.CodeInvalid || err.Error() == "" {
				t.Fatalf("%q is refused with %v", text, err)
			}
			return
		}
		if id != got.Head().RequestID {
			t.Fatalf("%q has the request id %q, and %q", text, id, got.Head().RequestID)
		}
		if r, is := got.(*wire.ResolveApprovalFrame); is && r.Modifications != nil { // as it is written again
			var compact bytes.Buffer
			if err := json.Compact(&compact, r.Modifications); err != nil {
				t.Fatal(err)
			}
			r.Modifications = compact.Bytes()
		}
		written := schema.Marshal(got) // json.Marshal would write & as \u0026, which is the same to a reader, and other bytes
		again, _, err := wire.Decode(written)
		if err != nil {
			t.Fatalf("%q is taken, but refused when it is written again as %q: %v", text, written, err)
		}
		first, second := schema.Marshal(got), schema.Marshal(again)
		if !bytes.Equal(first, second) {
			t.Fatalf("%q is %s, and then %s", text, first, second)
		}
	})
}
