package control

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// searchAttributes makes sure that schema.SearchAttributes exist in the namespace. Sessions
// that start before that is known, or where it cannot be had, do without.
type searchAttributes struct {
	temporal  client.Client
	namespace string
	log       *slog.Logger

	ready  atomic.Bool   // they can be used
	looked chan struct{} // closed after the first look, whatever it found
	once   sync.Once
	woken  chan struct{}
	warned bool // owned by run
}

func newSearchAttributes(temporal client.Client, namespace string, log *slog.Logger) *searchAttributes {
	return &searchAttributes{temporal: temporal, namespace: namespace, log: log, looked: make(chan struct{}), woken: make(chan struct{}, 1)}
}

// run looks until they can be used, and again when a start has shown that they cannot.
func (a *searchAttributes) run(ctx context.Context) {
	delay := searchRetry
	for ctx.Err() == nil {
		err := a.ensure(ctx)
		a.once.Do(func() { close(a.looked) })
		wait := delay
		switch {
		case err == nil:
			a.ready.Store(true)
			delay = searchRetry
			select {
			case <-ctx.Done():
				return
			case <-a.woken:
			}
			wait = delay // the cluster needs a moment to agree with itself
		case refusedByTemporal(err):
			a.warn(ctx, err)
			wait = searchRecheck
		default:
			a.log.DebugContext(ctx, "search attributes cannot be used yet", logs.Err(err))
			delay = min(2*delay, searchRetryMax)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// usable reports whether a workflow may be started with them. The first starts of a server
// wait a moment for the answer.
func (a *searchAttributes) usable(ctx context.Context) bool {
	if a.ready.Load() {
		return true
	}
	patience := time.NewTimer(searchPatience)
	defer patience.Stop()
	select {
	case <-a.looked:
	case <-patience.C:
	case <-ctx.Done():
	}
	return a.ready.Load()
}

// gone says that a start was refused because of them: a host of the cluster does not know
// them yet, or somebody has removed them.
func (a *searchAttributes) gone() {
	a.ready.Store(false)
	select {
	case a.woken <- struct{}{}:
	default:
	}
}

// ensure adds what is missing and finds out whether all of them can be used.
func (a *searchAttributes) ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	missing, err := a.missing(ctx)
	_, clash := errors.AsType[*wrongTypeError](err)
	if clash || (err != nil && !refusedByTemporal(err)) {
		return err
	}
	listed := err == nil
	if len(missing) > 0 {
		_, err := a.temporal.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: a.namespace, SearchAttributes: missing,
		})
		if _, already := errors.AsType[*serviceerror.AlreadyExists](err); err != nil && !already { // another instance was faster
			return err
		}
		a.log.InfoContext(ctx, "search attributes added", slog.String("namespace", a.namespace), slog.Int("count", len(missing)))
	}
	// Temporal Cloud neither lists nor adds them for us, but it knows those that it has: only
	// then does it understand the question.
	conditions := make([]string, len(schema.SearchAttributes))
	for i, name := range schema.SearchAttributes {
		conditions[i] = name + " = 'holdfast'"
	}
	_, err = a.temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: strings.Join(conditions, " AND ")})
	if _, unknown := errors.AsType[*serviceerror.InvalidArgument](err); unknown && listed {
		return serviceerror.NewUnavailable("they are still on their way through the cluster: " + err.Error())
	}
	return err
}

// missing lists those that the namespace does not have. One that has another type is an
// error.
func (a *searchAttributes) missing(ctx context.Context) (map[string]enums.IndexedValueType, error) {
	known, err := a.temporal.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: a.namespace})
	if err != nil {
		return nil, err
	}
	missing := map[string]enums.IndexedValueType{}
	for _, name := range schema.SearchAttributes {
		switch kind, ok := known.GetCustomAttributes()[name]; {
		case !ok:
			missing[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
		case kind != enums.INDEXED_VALUE_TYPE_KEYWORD:
			return nil, &wrongTypeError{name: name, kind: kind}
		}
	}
	return missing, nil
}

// wrongTypeError says that the namespace uses a name of ours for something else.
type wrongTypeError struct {
	name string
	kind enums.IndexedValueType
}

func (e *wrongTypeError) Error() string {
	return "the search attribute " + e.name + " is of type " + e.kind.String() + ", not Keyword"
}

// refusedByTemporal tells a no, which will be the same again, from not being reached.
func refusedByTemporal(err error) bool {
	if _, ok := errors.AsType[*wrongTypeError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*serviceerror.PermissionDenied](err); ok {
		return true
	}
	if _, ok := errors.AsType[*serviceerror.Unimplemented](err); ok {
		return true
	}
	if _, ok := errors.AsType[*serviceerror.FailedPrecondition](err); ok {
		return true
	}
	_, ok := errors.AsType[*serviceerror.InvalidArgument](err)
	return ok
}

func (a *searchAttributes) warn(ctx context.Context, err error) {
	if a.warned {
		return
	}
	a.warned = true
	a.log.WarnContext(ctx, "search attributes are missing and could not be added; sessions cannot be searched for by them in Temporal until they are",
		slog.String("namespace", a.namespace), slog.String("add_by_hand", strings.Join(a.byHand(), " && ")), logs.Err(err))
}

// byHand is how a person adds them.
func (a *searchAttributes) byHand() []string {
	commands := make([]string, len(schema.SearchAttributes))
	for i, name := range schema.SearchAttributes {
		commands[i] = "temporal operator search-attribute create --namespace " + a.namespace + " --name " + name + " --type Keyword"
	}
	return commands
}

// searchOf is what a session is found by when it starts.
func searchOf(session *schema.Session) temporal.SearchAttributes {
	keyword := func(name, value string) temporal.SearchAttributeUpdate {
		return temporal.NewSearchAttributeKeyKeyword(name).ValueSet(value)
	}
	return temporal.NewSearchAttributes(
		keyword(schema.SearchStatus, string(schema.SessionActive)),
		keyword(schema.SearchPhase, string(schema.PhasePlanning)),
		keyword(schema.SearchMode, string(session.Mode)),
		keyword(schema.SearchOwner, session.Owner),
	)
}

// undefinedAttribute reports whether a start was refused because of a search attribute.
func undefinedAttribute(err error) bool {
	bad, ok := errors.AsType[*serviceerror.InvalidArgument](err)
	return ok && strings.Contains(strings.ToLower(bad.Message), "search attribute")
}
