package web_test

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// counts is the size of every table and the sum of all heads: what a refused request leaves
// as it is.
func (e *env) counts() string {
	e.Helper()
	conn, err := pgx.Connect(e.Context(), e.dsn)
	must(e, err)
	defer conn.Close(e.Context())
	var text string
	must(e, conn.QueryRow(e.Context(), `SELECT format('sessions %s runs %s approvals %s events %s messages %s audit %s heads %s versions %s',
		(SELECT count(*) FROM sessions), (SELECT count(*) FROM runs), (SELECT string_agg(status, ',') FROM approval_requests),
		(SELECT count(*) FROM events), (SELECT count(*) FROM messages), (SELECT count(*) FROM audit_log), (SELECT sum(head_seq) FROM sessions), (SELECT sum(version) FROM sessions))`).Scan(&text))
	return text
}

// upgrade has the headers of a WebSocket handshake.
func upgrade(key, version string) []string {
	return []string{"Connection", "keep-alive, Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Key", key, "Sec-WebSocket-Version", version}
}

func TestBadInput_IsAProblemAndChangesNothing(t *testing.T) { //nolint:tparallel // the cases share a session, whose tables are compared at the end
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	a := e.asked(s.ID)
	const nobody = "00000000-0000-4000-8000-000000000000"
	session, approval := "/api/sessions/"+s.ID, "/api/approvals/"+a.ID
	withPlan := func(plan string) string { return `{"mode":"runbook","plan":` + plan + `}` }
	cases := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		code                     schema.Code
		says                     string // in the body
	}{
		{"not JSON", "POST", "/api/sessions", `{"mode":`, nil, 400, schema.CodeInvalid, "body"},
		{"two JSON values", "POST", "/api/sessions", `{"mode":"runbook"} {}`, nil, 400, schema.CodeInvalid, "body"},
		{"no body", "POST", "/api/sessions", ``, nil, 400, schema.CodeInvalid, "body"},
		{"a list", "POST", "/api/sessions", `[]`, nil, 422, schema.CodeInvalid, "body"},
		{"null", "POST", "/api/sessions", `null`, nil, 422, schema.CodeInvalid, "body"},
		{"nested 5,000 deep", "POST", "/api/sessions", strings.Repeat("[", 5000) + strings.Repeat("]", 5000), nil, 422, schema.CodeInvalid, "body"},
		{"nested 50,000 deep", "POST", "/api/sessions", strings.Repeat("[", 50000) + strings.Repeat("]", 50000), nil, 400, schema.CodeInvalid, "body"},
		{"another media type", "POST", "/api/sessions", `mode=runbook`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, schema.CodeInvalid, "JSON"},
		{"text as a form would send it", "POST", "/api/sessions", withPlan(plainPlan), []string{"Content-Type", "text/plain"}, 415, schema.CodeInvalid, "JSON"},
		{"no mode", "POST", "/api/sessions", `{"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "mode"},
		{"a mode that there is not", "POST", "/api/sessions", `{"mode":"magic"}`, nil, 422, schema.CodeInvalid, "body.mode"},
		{"a mode that is not available", "POST", "/api/sessions", `{"mode":"copilot","task":"x"}`, nil, 422, schema.CodeUnsupported, "body.mode"},
		{"a number for a mode", "POST", "/api/sessions", `{"mode":7}`, nil, 422, schema.CodeInvalid, "body.mode"},
		{"an unknown field", "POST", "/api/sessions", `{"mode":"runbook","colour":"red","plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.colour"},
		{"a field in another case", "POST", "/api/sessions", `{"Mode":"runbook","mode":"runbook","plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.Mode"},
		{"an unknown field of config", "POST", "/api/sessions", `{"mode":"runbook","config":{"speed":1},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.speed"},
		{"a bad config", "POST", "/api/sessions", `{"mode":"runbook","config":{"parallel":65},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.parallel"},
		{"half a core", "POST", "/api/sessions", `{"mode":"runbook","config":{"parallel":1.5},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.parallel"},
		{"a name that is too long", "POST", "/api/sessions", `{"mode":"runbook","name":"` + strings.Repeat("n", 201) + `","plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.name"},
		{"a name with NUL", "POST", "/api/sessions", `{"mode":"runbook","name":"a\u0000b","plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.name"},
		{"a blank name", "POST", "/api/sessions", `{"mode":"runbook","name":"  ","plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.name"},
		{"no plan", "POST", "/api/sessions", `{"mode":"runbook"}`, nil, 422, schema.CodeInvalid, "body.plan"},
		{"a plan that is null", "POST", "/api/sessions", withPlan(`null`), nil, 422, schema.CodeInvalid, "body.plan"},
		{"a plan that is text", "POST", "/api/sessions", withPlan(`"x"`), nil, 422, schema.CodeInvalid, "body.plan"},
		{"no steps", "POST", "/api/sessions", withPlan(`{"steps":[]}`), nil, 422, schema.CodeInvalid, "body.plan.steps"},
		{"a cycle", "POST", "/api/sessions", withPlan(`{"steps":[{"id":"a","run":["x"],"needs":["b"]},{"id":"b","run":["x"],"needs":["a"]}]}`), nil, 422, schema.CodeInvalid, "circle"},
		{"a need of nothing", "POST", "/api/sessions", withPlan(`{"steps":[{"id":"a","run":["x"],"needs":["z"]}]}`), nil, 422, schema.CodeInvalid, "body.plan.steps[0].needs[0]"},
		{"an id twice", "POST", "/api/sessions", withPlan(`{"steps":[{"id":"a","run":["x"]},{"id":"a","run":["x"]}]}`), nil, 422, schema.CodeInvalid, "body.plan.steps[1].id"},
		{"a field twice", "POST", "/api/sessions", withPlan(`{"steps":[{"id":"a","id":"b","run":["x"]}]}`), nil, 422, schema.CodeInvalid, "twice"},
		{"a path out of the workspace", "POST", "/api/sessions", withPlan(`{"steps":[{"id":"a","run":["x"]}],"files":{"../x":"y"}}`), nil, 422, schema.CodeInvalid, "body.plan.files"},
		{"an agent", "POST", "/api/sessions", withPlan(`{"steps":[{"id":"a","agent":"x","task":"y"}]}`), nil, 422, schema.CodeUnsupported, "body.plan.steps[0].agent"},
		{"a bad idempotency key", "POST", "/api/sessions", withPlan(plainPlan), []string{"Idempotency-Key", strings.Repeat("k", 201)}, 422, schema.CodeInvalid, "Idempotency-Key"},
		{"an unknown query parameter", "POST", "/api/sessions?dry=1", withPlan(plainPlan), nil, 422, schema.CodeInvalid, "query.dry"},
		{"10 MB", "POST", "/api/sessions", withPlan(`{"steps":[{"id":"a","run":["x"]}],"files":{"f":"` + strings.Repeat("x", 10<<20) + `"}}`), nil, 413, schema.CodeTooLarge, "2 MiB"},
		{"over 1 MiB of plan", "POST", "/api/sessions", withPlan(`{"steps":[{"id":"a","run":["x"]}],"files":{"f":"` + strings.Repeat("x", 3<<19) + `"}}`), nil, 422, schema.CodeInvalid, "body.plan"},
		{"gzip that is none", "POST", "/api/sessions", "\x1f\x8b garbage", []string{"Content-Encoding", "gzip"}, 400, schema.CodeInvalid, "body"},

		{"a status that there is not", "GET", "/api/sessions?status=sleeping", "", nil, 422, schema.CodeInvalid, "query.status"},
		{"a limit of 0", "GET", "/api/sessions?limit=0", "", nil, 422, schema.CodeInvalid, "query.limit"},
		{"a limit of 201", "GET", "/api/sessions?limit=201", "", nil, 422, schema.CodeInvalid, "query.limit"},
		{"a limit that is no number", "GET", "/api/sessions?limit=ten", "", nil, 422, schema.CodeInvalid, "query.limit"},
		{"a made-up cursor", "GET", "/api/sessions?cursor=abc", "", nil, 422, schema.CodeInvalid, "cursor"},
		{"an unknown filter", "GET", "/api/sessions?colour=red", "", nil, 422, schema.CodeInvalid, "query.colour"},
		{"an unknown session", "GET", "/api/sessions/" + nobody, "", nil, 404, schema.CodeNotFound, nobody},
		{"an id that is none", "GET", "/api/sessions/%27%3B--", "", nil, 404, schema.CodeNotFound, "session"},
		{"upper case", "GET", "/api/sessions/" + strings.ToUpper(s.ID), "", nil, 404, schema.CodeNotFound, "session"},
		{"delete of nothing", "DELETE", "/api/sessions/" + nobody, "", nil, 404, schema.CodeNotFound, nobody},
		{"rename of nothing", "PATCH", "/api/sessions/" + nobody, `{"version":1,"name":"x"}`, nil, 404, schema.CodeNotFound, nobody},
		{"rename to nothing", "PATCH", session, `{"version":1,"name":""}`, nil, 422, schema.CodeInvalid, "body.name"},
		{"rename without a version", "PATCH", session, `{"name":"x"}`, nil, 422, schema.CodeInvalid, "version"},
		{"retag", "PATCH", session, `{"version":1,"name":"x","tags":[]}`, nil, 422, schema.CodeInvalid, "body.tags"},
		{"a negative since", "GET", session + "/events?since=-1", "", nil, 422, schema.CodeInvalid, "query.since"},
		{"a since over 64 bits", "GET", session + "/events?since=99999999999999999999", "", nil, 422, schema.CodeInvalid, "query.since"},
		{"an unknown type", "GET", session + "/events?types=output,nonsense", "", nil, 422, schema.CodeInvalid, "query.types[1]"},
		{"without an unknown type", "GET", session + "/events?without=nonsense", "", nil, 422, schema.CodeInvalid, "query.without[0]"},
		{"types and without", "GET", session + "/events?types=output&without=step_progress", "", nil, 422, schema.CodeInvalid, "query.without"},
		{"events of nothing", "GET", "/api/sessions/" + nobody + "/events", "", nil, 404, schema.CodeNotFound, nobody},
		{"history of nothing", "GET", "/api/sessions/" + nobody + "/history", "", nil, 404, schema.CodeNotFound, nobody},
		{"history with a made-up cursor", "GET", session + "/history?cursor=x%00y", "", nil, 422, schema.CodeInvalid, "cursor"},
		{"runs of nothing", "GET", "/api/sessions/" + nobody + "/runs", "", nil, 404, schema.CodeNotFound, nobody},
		{"an unknown run", "GET", "/api/runs/" + nobody, "", nil, 404, schema.CodeNotFound, nobody},
		{"a run id that is none", "GET", "/api/runs/1", "", nil, 404, schema.CodeNotFound, "run"},
		{"live of nothing", "GET", "/api/sessions/" + nobody + "/live", "", nil, 404, schema.CodeNotFound, nobody},
		{"suspend of nothing", "POST", "/api/sessions/" + nobody + "/suspend", "", nil, 404, schema.CodeNotFound, nobody},
		{"resume of nothing", "POST", "/api/sessions/x/resume", "", nil, 404, schema.CodeNotFound, "session"},
		{"cancel of nothing", "POST", "/api/sessions/" + nobody + "/cancel", "", nil, 404, schema.CodeNotFound, nobody},
		{"suspend with a field", "POST", session + "/suspend", `{"hard":true}`, nil, 422, schema.CodeInvalid, "body.hard"},
		{"suspend with half a body", "POST", session + "/suspend", `{`, nil, 400, schema.CodeInvalid, "body"},
		{"resume of what is not suspended", "POST", session + "/resume", "", nil, 409, schema.CodeConflict, "suspended"},

		{"approvals of nothing", "GET", "/api/sessions/" + nobody + "/approvals", "", nil, 404, schema.CodeNotFound, nobody},
		{"an approval status that there is not", "GET", "/api/approvals?status=maybe", "", nil, 422, schema.CodeInvalid, "query.status"},
		{"an unknown approval", "GET", "/api/approvals/" + nobody, "", nil, 404, schema.CodeNotFound, nobody},
		{"an answer to nothing", "POST", "/api/approvals/" + nobody + "/resolve", `{"resolution":"approved"}`, nil, 404, schema.CodeNotFound, nobody},
		{"an answer without a resolution", "POST", approval + "/resolve", `{}`, nil, 422, schema.CodeInvalid, "resolution"},
		{"a resolution that there is not", "POST", approval + "/resolve", `{"resolution":"maybe"}`, nil, 422, schema.CodeInvalid, "body.resolution"},
		{"a resolution of another type", "POST", approval + "/resolve", `{"resolution":"skip"}`, nil, 422, schema.CodeInvalid, "approved, rejected"},
		{"a resolution that is a list", "POST", approval + "/resolve", `{"resolution":["approved"]}`, nil, 422, schema.CodeInvalid, "body.resolution"},
		{"an answer with a field too many", "POST", approval + "/resolve", `{"resolution":"approved","actor":"root"}`, nil, 422, schema.CodeInvalid, "body.actor"},
		{"feedback that is too long", "POST", approval + "/resolve", `{"resolution":"approved","feedback":"` + strings.Repeat("f", 10001) + `"}`, nil, 422, schema.CodeInvalid, "body.feedback"},

		{"feedback with NUL", "POST", approval + "/resolve", `{"resolution":"approved","feedback":"a\u0000b"}`, nil, 422, schema.CodeInvalid, "body.feedback"},
		{"a key with a space", "POST", approval + "/resolve", `{"resolution":"approved"}`, []string{"Idempotency-Key", "a b"}, 422, schema.CodeInvalid, "Idempotency-Key"},
		{"modified by nothing", "POST", approval + "/resolve", `{"resolution":"modified"}`, nil, 422, schema.CodeInvalid, "body.modifications"},
		{"modified by null", "POST", approval + "/resolve", `{"resolution":"modified","modifications":null}`, nil, 422, schema.CodeInvalid, "body.modifications"},
		{"modified by a list", "POST", approval + "/resolve", `{"resolution":"modified","modifications":[1]}`, nil, 422, schema.CodeInvalid, "body.modifications"},
		{"modified in no way", "POST", approval + "/resolve", `{"resolution":"modified","modifications":{}}`, nil, 422, schema.CodeInvalid, "none of them"},
		{"modified by a field that there is not", "POST", approval + "/resolve", `{"resolution":"modified","modifications":{"cmd":["x"]}}`, nil, 422, schema.CodeInvalid, "cmd"},
		{"modified by two commands", "POST", approval + "/resolve", `{"resolution":"modified","modifications":{"run":["x"],"shell":"x"}}`, nil, 422, schema.CodeInvalid, "body.modifications.shell"},
		{"modified by a timeout that is none", "POST", approval + "/resolve", `{"resolution":"modified","modifications":{"timeout":"soon"}}`, nil, 422, schema.CodeInvalid, "body.modifications.timeout"},
		{"modified by a path out of the workspace", "POST", approval + "/resolve", `{"resolution":"modified","modifications":{"files":{"../x":"y"}}}`, nil, 422, schema.CodeInvalid, "body.modifications.files"},
		{"modified by NUL", "POST", approval + "/resolve", `{"resolution":"modified","modifications":{"env":{"A":"a\u0000b"}}}`, nil, 422, schema.CodeInvalid, "NUL"},
		{"approved with modifications", "POST", approval + "/resolve", `{"resolution":"approved","modifications":{"run":["x"]}}`, nil, 422, schema.CodeInvalid, "body.modifications"},
		{"modifications over 1 MiB", "POST", approval + "/resolve", `{"resolution":"modified","modifications":{"files":{"f":"` + strings.Repeat("x", 3<<19) + `"}}}`, nil, 422, schema.CodeInvalid, "body.modifications"},

		{"more time for nothing", "POST", "/api/approvals/" + nobody + "/extend", `{"seconds":60}`, nil, 404, schema.CodeNotFound, nobody},
		{"more time without how much", "POST", approval + "/extend", `{}`, nil, 422, schema.CodeInvalid, "seconds"},
		{"no more time", "POST", approval + "/extend", `{"seconds":0}`, nil, 422, schema.CodeInvalid, "body.seconds"},
		{"half a second more", "POST", approval + "/extend", `{"seconds":0.5}`, nil, 422, schema.CodeInvalid, "body.seconds"},
		{"less time", "POST", approval + "/extend", `{"seconds":-60}`, nil, 422, schema.CodeInvalid, "body.seconds"},
		{"more time in words", "POST", approval + "/extend", `{"seconds":"60s"}`, nil, 422, schema.CodeInvalid, "body.seconds"},
		{"a year more", "POST", approval + "/extend", `{"seconds":31536000}`, nil, 422, schema.CodeInvalid, "body.seconds"},
		{"30 days more than it waits already", "POST", approval + "/extend", `{"seconds":2592000}`, nil, 422, schema.CodeInvalid, "at most 2591700 can be added"},
		{"the same under a key", "POST", approval + "/extend", `{"seconds":2592000}`, []string{"Idempotency-Key", "k"}, 422, schema.CodeInvalid, "body.seconds"},
		{"more time than a number can say", "POST", approval + "/extend", `{"seconds":1e999}`, nil, 400, schema.CodeInvalid, "body"},

		{"a message to nothing", "POST", "/api/sessions/" + nobody + "/messages", `{"content":"hello"}`, nil, 404, schema.CodeNotFound, nobody},
		{"a message without content", "POST", session + "/messages", `{}`, nil, 422, schema.CodeInvalid, "content"},
		{"an empty message", "POST", session + "/messages", `{"content":""}`, nil, 422, schema.CodeInvalid, "body.content"},
		{"a blank message", "POST", session + "/messages", `{"content":" \n\t"}`, nil, 422, schema.CodeInvalid, "body.content"},
		{"a message with NUL", "POST", session + "/messages", `{"content":"a\u0000b"}`, nil, 422, schema.CodeInvalid, "body.content"},
		{"a message over 64 KiB", "POST", session + "/messages", `{"content":"` + strings.Repeat("x", 64<<10+1) + `"}`, nil, 422, schema.CodeInvalid, "65536 bytes"},
		{"a message over 64 KiB of few characters", "POST", session + "/messages", `{"content":"` + strings.Repeat("é", 33<<10) + `"}`, nil, 422, schema.CodeInvalid, "65536 bytes"},
		{"a message from somebody else", "POST", session + "/messages", `{"content":"x","actor":"root"}`, nil, 422, schema.CodeInvalid, "body.actor"},

		{"a run of nothing", "POST", "/api/sessions/" + nobody + "/runs", `{"plan":` + plainPlan + `}`, nil, 404, schema.CodeNotFound, nobody},
		{"a run without a plan", "POST", session + "/runs", `{}`, nil, 422, schema.CodeInvalid, "body.plan"},
		{"a run of null", "POST", session + "/runs", `{"plan":null}`, nil, 422, schema.CodeInvalid, "body.plan"},
		{"a run of a plan and a task", "POST", session + "/runs", `{"plan":` + plainPlan + `,"task":"x"}`, nil, 422, schema.CodeInvalid, "not both"},
		{"a run of a task", "POST", session + "/runs", `{"task":"x"}`, nil, 422, schema.CodeUnsupported, "no agent provider"},
		{"a run of a blank task", "POST", session + "/runs", `{"task":" "}`, nil, 422, schema.CodeInvalid, "body.task"},
		{"a run of a bad plan", "POST", session + "/runs", `{"plan":{"steps":[{"id":"a","run":["x"],"needs":["z"]}]}}`, nil, 422, schema.CodeInvalid, "body.plan.steps[0].needs[0]"},
		{"a run of what is not supported", "POST", session + "/runs", `{"plan":{"steps":[{"id":"a","agent":"x","task":"y"}]}}`, nil, 422, schema.CodeUnsupported, "body.plan.steps[0].agent"},
		{"a run with a config", "POST", session + "/runs", `{"plan":` + plainPlan + `,"config":{}}`, nil, 422, schema.CodeInvalid, "body.config"},

		{"a fork of nothing", "POST", "/api/sessions/" + nobody + "/fork", ``, nil, 404, schema.CodeNotFound, nobody},
		{"a fork from a step that there is not", "POST", session + "/fork", `{"step_id":"zz"}`, nil, 404, schema.CodeNotFound, "zz"},
		{"a fork from a step that has not succeeded", "POST", session + "/fork", `{"step_id":"a"}`, nil, 409, schema.CodeConflict, "step \\\"a\\\" is"},
		{"a fork of a run that there is not", "POST", session + "/fork", `{"run_id":"` + nobody + `"}`, nil, 404, schema.CodeNotFound, nobody},
		{"a fork of a run id that is none", "POST", session + "/fork", `{"run_id":"1"}`, nil, 404, schema.CodeNotFound, "run"},
		{"a fork with a blank name", "POST", session + "/fork", `{"name":" "}`, nil, 422, schema.CodeInvalid, "body.name"},
		{"a fork with a bad plan", "POST", session + "/fork", `{"plan":{"steps":[]}}`, nil, 422, schema.CodeInvalid, "body.plan.steps"},
		{"a fork with what is not supported", "POST", session + "/fork", `{"plan":{"steps":[{"id":"a","agent":"x","task":"y"}]}}`, nil, 422, schema.CodeUnsupported, "body.plan.steps[0].agent"},
		{"a fork with a mode", "POST", session + "/fork", `{"mode":"runbook"}`, nil, 422, schema.CodeInvalid, "body.mode"},
		{"a fork under a bad key", "POST", session + "/fork", `{}`, []string{"Idempotency-Key", "a b"}, 422, schema.CodeInvalid, "Idempotency-Key"},

		{"an audit trail of nothing", "GET", "/api/sessions/" + nobody + "/audit", "", nil, 404, schema.CodeNotFound, nobody},
		{"an audit trail after less than nothing", "GET", session + "/audit?after=-1", "", nil, 422, schema.CodeInvalid, "query.after"},
		{"an audit trail with a made-up cursor", "GET", session + "/audit?cursor=x", "", nil, 422, schema.CodeInvalid, "query.cursor"},
		{"an audit trail by the thousand", "GET", session + "/audit?limit=1000", "", nil, 422, schema.CodeInvalid, "query.limit"},

		{"a policy for edits that there is not", "POST", "/api/sessions", `{"mode":"runbook","config":{"on_modified":"maybe"},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.on_modified"},
		{"a policy for messages that there is not", "POST", "/api/sessions", `{"mode":"runbook","config":{"when_busy":"maybe"},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.when_busy"},
		{"a run timeout that is none", "POST", "/api/sessions", `{"mode":"runbook","config":{"run_timeout":"soon"},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.run_timeout"},
		{"a run timeout without a unit", "POST", "/api/sessions", `{"mode":"runbook","config":{"run_timeout":5},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.run_timeout"},
		{"an escalation timeout that is none", "POST", "/api/sessions", `{"mode":"runbook","config":{"escalation_timeout":"0s"},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.escalation_timeout"},
		{"a session for a hundred years", "POST", "/api/sessions", `{"mode":"runbook","config":{"session_ttl":"876000h"},"plan":` + plainPlan + `}`, nil, 422, schema.CodeInvalid, "body.config.session_ttl"},

		{"files of nothing", "GET", "/api/sessions/" + nobody + "/files", "", nil, 404, schema.CodeNotFound, nobody},
		{"a file of nothing", "GET", "/api/sessions/" + nobody + "/files/x", "", nil, 404, schema.CodeNotFound, nobody},
		{"a file that there is not", "GET", session + "/files/x", "", nil, 404, schema.CodeNotFound, "x"},
		{"a file with a parameter too many", "GET", session + "/files/x?as=html", "", nil, 422, schema.CodeInvalid, "query.as"},
		{"a plan to check that is a number", "POST", "/api/plans/validate", `{"source":7}`, nil, 422, schema.CodeInvalid, "body.source"},
		{"nothing to check", "POST", "/api/plans/validate", `{}`, nil, 422, schema.CodeInvalid, "source"},

		{"a path that there is not", "GET", "/api/nonsense", "", nil, 404, schema.CodeNotFound, "/api/docs"},
		{"a post to a path that there is not", "POST", "/api/nonsense", "{}", nil, 404, schema.CodeNotFound, "/api/docs"},
		{"another method", "PUT", "/api/sessions", "{}", nil, 405, schema.CodeMethod, "GET, POST"},
		{"a get of a command", "GET", session + "/cancel", "", nil, 405, schema.CodeMethod, "POST"},
		{"a delete of a file", "DELETE", session + "/files/a/b", "", nil, 405, schema.CodeMethod, "GET"},
		{"a post to a page", "POST", "/sessions", "{}", nil, 405, schema.CodeMethod, "GET"},
		{"a handshake with a key of 3 bytes", "GET", "/ws", "", upgrade("YWJj", "13"), 400, schema.CodeInvalid, "version 13"},
		{"a handshake of an older version", "GET", "/ws", "", upgrade("AAAAAAAAAAAAAAAAAAAAAA==", "8"), 400, schema.CodeInvalid, "version 13"},
		{"no upgrade", "GET", "/ws", "", nil, 426, schema.CodeInvalid, "WebSocket"},
		{"another host", "GET", "/api/sessions", "", []string{"Host", "evil.example"}, 403, schema.CodeForbidden, "evil.example"},
		{"another host with a port", "GET", "/", "", []string{"Host", "evil.example:8000"}, 403, schema.CodeForbidden, "evil.example"},
		{"another origin", "POST", session + "/cancel", "", []string{"Origin", "https://evil.example"}, 403, schema.CodeForbidden, "evil.example"},
		{"no origin", "POST", session + "/cancel", "", []string{"Origin", "null"}, 403, schema.CodeForbidden, "null"},
		{"a page of another site", "POST", session + "/cancel", "", []string{"Sec-Fetch-Site", "cross-site"}, 403, schema.CodeForbidden, "other sites"},
	}
	before := e.counts()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := e.do(c.method, c.path, c.body, c.header...)
			r.problem(t, c.status, c.code)
			if !bytes.Contains(r.body, []byte(c.says)) {
				t.Errorf("the answer does not say %q: %.600s", c.says, r.body)
			}
			if len(r.body) > 10_000 {
				t.Errorf("the answer has %d bytes", len(r.body))
			}
			if c.status == 405 && r.Header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
	if after := e.counts(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	e.noErrors()
}

func TestBadHTTP_IsAProblemAndNotLogged(t *testing.T) { //nolint:tparallel // the log is looked at when all are done
	t.Parallel()
	e := start(t)
	for name, raw := range map[string]string{
		"not HTTP":           "hello\r\n\r\n",
		"a header too large": "GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-Big: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
		"a bad chunk":        "POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
			must(t, err)
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(testTimeout))
			_, err = conn.Write([]byte(raw))
			must(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			must(t, err)
			_ = resp.Body.Close()
			if resp.StatusCode < 400 || resp.StatusCode > 499 {
				t.Fatalf("answered %d", resp.StatusCode)
			}
		})
	}
	e.noErrors()
}

func TestBadFrames_AreRefusedAndTheSocketStays(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	a := e.asked(s.ID)
	ws := e.dial("?client_id=bad")
	const nobody = "00000000-0000-4000-8000-000000000000"
	cases := []struct {
		frame string
		code  schema.Code
		says  string
	}{
		{``, schema.CodeInvalid, "object"},
		{`{`, schema.CodeInvalid, "object"},
		{`null`, schema.CodeInvalid, "object"},
		{`[]`, schema.CodeInvalid, "object"},
		{`"ping"`, schema.CodeInvalid, "object"},
		{`{}`, schema.CodeInvalid, "frame.type"},
		{`{"type":7}`, schema.CodeInvalid, "frame.type"},
		{`{"type":"PING"}`, schema.CodeInvalid, "frame.type"},
		{`{"type":"ping","x":1}`, schema.CodeInvalid, "frame.x"},
		{`{"type":"ping","request_id":7}`, schema.CodeInvalid, "frame.request_id"},
		{`{"type":"subscribe"}`, schema.CodeInvalid, "frame.session_id"},
		{`{"type":"subscribe","session_id":null}`, schema.CodeInvalid, "frame.session_id"},
		{`{"type":"subscribe","session_id":"x"}`, schema.CodeNotFound, "session"},
		{`{"type":"subscribe","session_id":"` + nobody + `"}`, schema.CodeNotFound, nobody},
		{`{"type":"subscribe","session_id":"` + s.ID + `","since":-1}`, schema.CodeInvalid, "frame.since"},
		{`{"type":"subscribe","session_id":"` + s.ID + `","since":"0"}`, schema.CodeInvalid, "frame.since"},
		{`{"type":"subscribe","session_id":"` + s.ID + `","since":1.5}`, schema.CodeInvalid, "frame.since"},
		{`{"type":"subscribe","session_id":"` + s.ID + `","since":1000000}`, schema.CodeCursorAhead, "event 1000000"},
		{`{"type":"unsubscribe","session_id":"` + s.ID + `"}`, schema.CodeConflict, "not subscribed"},
		{`{"type":"suspend"}`, schema.CodeInvalid, "frame.session_id"},
		{`{"type":"suspend","session_id":"` + nobody + `"}`, schema.CodeNotFound, nobody},
		{`{"type":"resume","session_id":"` + s.ID + `"}`, schema.CodeConflict, "suspended"},
		{`{"type":"cancel","session_id":"` + s.ID + `","hard":true}`, schema.CodeInvalid, "frame.hard"},
		{`{"type":"message","session_id":"` + s.ID + `"}`, schema.CodeInvalid, "frame.content"},
		{`{"type":"message","session_id":"` + s.ID + `","content":" "}`, schema.CodeInvalid, "frame.content"},
		{`{"type":"message","session_id":"` + s.ID + `","content":"a\u0000b"}`, schema.CodeInvalid, "frame.content"},
		{`{"type":"message","session_id":"` + s.ID + `","content":["hello"]}`, schema.CodeInvalid, "frame.content"},
		{`{"type":"message","session_id":"` + nobody + `","content":"hello"}`, schema.CodeNotFound, nobody},
		{`{"type":"suspend","session_id":"` + s.ID + `","request_id":"a\u0000b"}`, schema.CodeInvalid, "frame.request_id"},
		{`{"type":"query","session_id":"` + s.ID + `","name":"secrets"}`, schema.CodeInvalid, "frame.name"},
		{`{"type":"resolve_approval","approval_id":"` + a.ID + `"}`, schema.CodeInvalid, "frame.resolution"},
		{`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"maybe"}`, schema.CodeInvalid, "frame.resolution"},
		{`{"type":"resolve_approval","approval_id":"` + nobody + `","resolution":"approved"}`, schema.CodeNotFound, nobody},
		{`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved","modifications":[1]}`, schema.CodeInvalid, "frame.modifications"},
		{`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"modified","modifications":{"timeout":"soon"}}`, schema.CodeInvalid, "frame.modifications.timeout"},
		{`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved","feedback":"` + strings.Repeat("f", 10001) + `"}`, schema.CodeInvalid, "frame.feedback"},
		{`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved","actor":"root"}`, schema.CodeInvalid, "frame.actor"},
		{`{"type":"ping","session_id":` + strings.Repeat(`[`, 20000) + strings.Repeat(`]`, 20000) + `}`, schema.CodeInvalid, "object"},
	}
	before := e.counts()
	for i, c := range cases {
		ws.send(c.frame)
		d := ws.refused(c.code)
		if !strings.Contains(d.Message, c.says) {
			t.Errorf("frame %d, %.80s: it does not say %q: %s", i, c.frame, c.says, d.Message)
		}
	}
	must(t, ws.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`)))
	ws.refused(schema.CodeInvalid)
	ws.send(`{"type":"ping","request_id":"still here"}`)
	ws.until(wire.FramePong)
	if after := e.counts(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	e.noErrors()
}

func TestBadQuery_OfTheWebSocketIsRefused(t *testing.T) {
	t.Parallel()
	e := start(t)
	for query, status := range map[string]int{
		"?colour=red": 422, "?client_id=" + strings.Repeat("c", 65): 422, "?client_id=" + url.QueryEscape("a b"): 422,
	} {
		if _, resp, err := e.tryDial(query); err == nil || resp.StatusCode != status {
			t.Errorf("%s: %v %v", query, resp, err)
		}
	}
	for origin, ok := range map[string]bool{
		"https://evil.example": false, "null": false, "http://127.0.0.1:1": false, e.url: true, strings.Replace(e.url, "http", "https", 1): true, "ftp://" + e.url[7:]: false,
	} {
		ws, _, err := e.tryDial("", "Origin", origin)
		if (err == nil) != ok {
			t.Errorf("origin %s: %v", origin, err)
		}
		if ws != nil {
			_ = ws.Close()
		}
	}
	e.noErrors()
}
