package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// envSocket is where a step finds its supervisor's socket.
const envSocket = "HOLDFAST_SOCKET"

// The exit codes of ask, which programs act on; all mistakes have the same one.
const (
	askApproved = 0
	askRejected = 1
	askTimedOut = 2
	askFailed   = 3
)

// askCodes are the exit codes by the question's outcome.
var askCodes = map[string]int{
	string(schema.ResolutionApproved): askApproved, string(schema.ResolutionRejected): askRejected,
	"timed_out": askTimedOut, string(schema.ApprovalCancelled): askFailed,
}

type askCmd struct {
	Question string         `arg:""                                                                                                            help:"The question to ask."`
	Option   []string       `help:"An answer to choose from; repeat the flag for each. A person may still answer in their own words, or reject." placeholder:"ANSWER"           sep:"none"`
	Timeout  *time.Duration `help:"How long to wait for an answer, such as 300s or 2h; default: the session's approval timeout."           placeholder:"DURATION"`
	Context  string         `help:"Context to show with the question: JSON, or @FILE; @- reads standard input."                         placeholder:"JSON|@FILE"`
	ID       string         `help:"The question's id: asking again with the same id is the same question."                                          name:"id"                      placeholder:"ID"`
	JSON     bool           `help:"Print the whole answer as JSON."                                                                              name:"json"`
}

// Help is shown by --help.
func (*askCmd) Help() string {
	return "Called by a program inside a step; it needs no network. Prints the answer alone: what the person chose or wrote, else the word for the outcome. " +
		"Waits as long as it takes, through restarts of the server.\n\n" +
		"Ends with 0 approved, 1 rejected, 2 timed out, 3 error; also when the question was withdrawn, or it is not called in a step.\n\n" +
		example(`holdfast ask "Publish the figure?" && ./publish.sh`,
			`grid=$(holdfast ask "How fine a grid?" --option coarse --option fine --timeout 1h) || exit`,
			`holdfast ask "Is this fit good enough?" --context @fit.json --json`)
}

// askAnswer is what the socket says once a question is decided.
type askAnswer struct {
	Outcome string `json:"outcome"`
	Answer  string `json:"answer"`
}

func (c *askCmd) Run(inv *invocation) error {
	err := c.run(inv)
	if _, coded := errors.AsType[*codeError](err); coded || err == nil {
		return err
	}
	if inv.ctx.Err() != nil {
		return withCode(askFailed, errors.New("interrupted before anybody had answered"))
	}
	return withCode(askFailed, err)
}

func (c *askCmd) run(inv *invocation) error {
	path := inv.env.Get(envSocket)
	if path == "" {
		return fmt.Errorf("ask is for programs inside a step, where %s names the step's socket; it is not set", envSocket)
	}
	q, err := c.question(inv)
	if err != nil {
		return err
	}
	raw, err := newStepSocket(path).ask(inv.ctx, schema.Marshal(q))
	if err != nil {
		return err
	}
	var answer askAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("the step's socket gave an invalid answer: %s", terminal.Short(terminal.Clean(string(raw)), 200))
	}
	code, known := askCodes[answer.Outcome]
	switch {
	case !known:
		return fmt.Errorf("the step's socket gave the outcome %q; known are approved, rejected, timed_out and cancelled", answer.Outcome)
	case c.JSON:
		var line bytes.Buffer
		_ = json.Compact(&line, raw) // it was decoded as JSON before
		inv.raw(line.Bytes())
	case code == askFailed:
		return errors.New("the question was withdrawn before anybody had answered")
	default:
		inv.printf("%s\n", answer.Answer)
	}
	return withCode(code, nil)
}

// question checks the question, so that a mistake is reported at once and in terms of the flags.
func (c *askCmd) question(inv *invocation) (*schema.Question, error) {
	q := &schema.Question{Question: c.Question, Options: c.Option, ID: c.ID}
	if err := q.CheckWords(); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, o := range c.Option {
		if strings.TrimSpace(o) == "" || seen[o] {
			return nil, fmt.Errorf("--option %q: each option is a text of its own, and not empty", o)
		}
		seen[o] = true
	}
	if c.Timeout != nil {
		q.TimeoutSeconds = c.Timeout.Seconds()
		if !(q.TimeoutSeconds >= schema.MinApprovalTimeoutSeconds && q.TimeoutSeconds <= schema.MaxApprovalTimeoutSeconds) {
			return nil, fmt.Errorf("--timeout is from 1s to 720h (got %s)", c.Timeout)
		}
	}
	if q.ID == "" {
		q.ID = schema.NewID()
	}
	var err error
	if q.Context, err = c.context(inv); err != nil {
		return nil, err
	}
	return q, q.Check()
}

func (c *askCmd) context(inv *invocation) (json.RawMessage, error) {
	if c.Context == "" {
		return nil, nil
	}
	text := []byte(c.Context)
	if name, found := strings.CutPrefix(c.Context, "@"); found {
		var err error
		if text, _, err = inv.readFile(name); err != nil {
			return nil, fmt.Errorf("--context: %w", err)
		}
	}
	switch {
	case !json.Valid(text):
		return nil, errors.New(`--context is not JSON; a text is JSON in quotes: --context '"like this"'`)
	case len(text) > schema.MaxAskContext:
		return nil, fmt.Errorf("--context has at most %d bytes (got %d); write more to a file of the workspace and name it", schema.MaxAskContext, len(text))
	}
	return text, nil
}

// isAsk reports whether the command is ask, whose mistakes have an exit code of their own.
func isAsk(args []string) bool { return len(args) > 0 && args[0] == "ask" }
