package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// The exit codes.
const (
	exitOK          = 0
	exitError       = 1 // also: the session failed
	exitUsage       = 2
	exitCancelled   = 3
	exitExpired     = 4
	exitUndecided   = 5 // watching ended before the session did
	exitFailedSteps = 6 // completed, with failed steps
	exitInterrupted = 130
)

// commands is the command line.
type commands struct {
	Up       upCmd       `cmd:"" help:"Run everything on this machine: Postgres, Temporal, a worker and the web server."`
	Session  sessionCmd  `cmd:"" help:"Start, follow and steer sessions."`
	Approval approvalCmd `cmd:"" help:"List, show and decide approvals."`
	Ask      askCmd      `cmd:"" help:"Ask a person, from a program inside a step."`
	Web      webCmd      `cmd:"" help:"Run a web process: REST, WebSocket and the UI."`
	Worker   workerCmd   `cmd:"" help:"Run a worker process: workflows, activities and steps."`
	Rollout  rolloutCmd  `cmd:"" help:"Show or change which build of the workers gets the sessions."`
	Migrate  migrateCmd  `cmd:"" help:"Change the database's schema."`
	GC       gcCmd       `cmd:"" name:"gc" help:"Free disk space of deleted sessions, and report what is kept."`
	Config   configCmd   `cmd:"" help:"Print every setting with its value and where it came from."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// invocation is what a command works with.
type invocation struct {
	ctx    context.Context //nolint:containedctx // an invocation is one call, and ctx its argument
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	env    settings.Env
	style  terminal.Style // of stdout
}

// codeError ends the program with a code; an empty message prints nothing.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// withCode is an error that ends the program with a code of its own.
func withCode(code int, err error) error {
	if err == nil && code == exitOK {
		return nil
	}
	return &codeError{code: code, err: err}
}

func usage(format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format, args...))
}

// kongExit is how kong's --help ends parsing.
type kongExit int

// Run runs one command and returns the exit code of the process.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			exit, ok := r.(kongExit)
			if !ok {
				panic(r)
			}
			code = int(exit)
		}
	}()
	env := settings.NewEnv(environ)
	inv := &invocation{
		ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, env: env,
		style: terminal.StyleFor(stdout, env.Get),
	}
	parser, err := kong.New(&commands{},
		kong.Name("holdfast"),
		kong.Description("Durable sessions for agents and long-running jobs."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(kongExit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100, NoExpandSubcommands: true}),
		kong.Bind(inv),
		durations(),
		kong.Vars{"default_url": settings.DefaultURL, "default_addr": settings.DefaultAddr},
	)
	if err != nil {
		panic(err) // the commands are declared wrongly: every test would fail
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "holdfast: %s\n%s\n", err, moreHelp(err))
		if isAsk(args) {
			return askFailed
		}
		return exitUsage
	}
	return inv.finish(parsed.Run())
}

// durations reads flags like plans and settings: with days and weeks, too.
func durations() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(func(c *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := c.Scan.PopValueInto("duration", &text); err != nil {
			return err
		}
		d, err := schema.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 90s, 30m, 2h or 3d", text)
		}
		target.SetInt(int64(d))
		return nil
	}))
}

func moreHelp(err error) string {
	words := []string{"holdfast"}
	if parseErr, ok := errors.AsType[*kong.ParseError](err); ok && parseErr.Context != nil {
		for word := range strings.FieldsSeq(parseErr.Context.Command()) {
			if !strings.HasPrefix(word, "<") {
				words = append(words, word)
			}
		}
	}
	return "Run `" + strings.Join(words, " ") + " --help` for usage."
}

// finish prints the error, if any, and picks the exit code.
func (inv *invocation) finish(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitError
	if coded, ok := errors.AsType[*codeError](err); ok {
		code = coded.code
	}
	if _, ok := errors.AsType[*settings.Error](err); ok {
		code = exitUsage
	}
	if _, ok := errors.AsType[*client.IDError](err); ok {
		code = exitUsage
	}
	// A mistake that the server finds in a request is wrong usage, as if it had been found here.
	if p, ok := errors.AsType[*client.ProblemError](err); ok && code == exitError &&
		(p.Status == http.StatusBadRequest || p.Status == http.StatusUnprocessableEntity) {
		code = exitUsage
	}
	if errors.Is(err, context.Canceled) && inv.ctx.Err() != nil {
		return exitInterrupted
	}
	if text := err.Error(); text != "" {
		_, _ = fmt.Fprintf(inv.stderr, "holdfast: %s\n", terminal.CleanLines(text))
	}
	return code
}

// printf writes to stdout. It ignores errors: there is nobody to tell.
func (inv *invocation) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(inv.stdout, format, args...)
}

func (inv *invocation) notef(format string, args ...any) {
	_, _ = fmt.Fprintf(inv.stderr, format, args...)
}

// raw prints the server's answer as it came.
func (inv *invocation) raw(answer []byte) {
	_, _ = inv.stdout.Write(append(slices.Clip(answer), '\n'))
}

func (inv *invocation) logger(l settings.Logging) *slog.Logger {
	return logs.New(inv.stderr, l.Format, l.Level)
}

// server is the part of every command that talks to a server.
type server struct {
	Server string `help:"The server's URL (setting HOLDFAST_URL; ${default_url} unless set)." placeholder:"URL"`
}

func (s *server) client(inv *invocation) (*client.Client, error) {
	set, err := settings.LoadClient(inv.env.WithFlag(settings.EnvURL, s.Server))
	if err != nil {
		return nil, err
	}
	c := client.New(set.URL)
	c.UserAgent = "holdfast/" + version()
	return c, nil
}

// short is an id as people read it: its first eight characters, which commands also take.
func short(id string) string {
	if schema.ValidID(id) {
		return id[:8]
	}
	return id
}
