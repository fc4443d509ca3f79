package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

const (
	// DeploymentName is that of the Temporal Worker Deployment of all workers with a build id.
	DeploymentName = "holdfast"
	// Unversioned stands for the workers without a build id, where a build id is asked for.
	Unversioned = "unversioned"

	// A worker asks for work again within a minute. One that has not is gone.
	pollerAge = 75 * time.Second
	// How long a rollout waits for Temporal to know a build that polls already.
	rolloutPatience = 15 * time.Second
	rolloutWait     = 200 * time.Millisecond
	// How long a starting worker waits for Temporal to say whether its build is the current one.
	lookPatience = 5 * time.Second
)

// versioned makes a worker take part in the deployment. An open session moves on to the
// build that is current at its next workflow task: sessions live for months, and no build
// should have to.
func versioned(buildID string) worker.DeploymentOptions {
	if buildID == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: DeploymentName, BuildID: buildID},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}

// The states of a [Build].
const (
	BuildCurrent  = "current"  // it gets the sessions, less those of a ramp
	BuildRamping  = "ramping"  // it gets Percent of them
	BuildDraining = "draining" // it had some, and may still have
	BuildDrained  = "drained"  // it has none any more
	BuildInactive = "inactive" // it never had one
)

// Build is one build in a [Deployment].
type Build struct {
	ID        string       `json:"build_id"` // [Unversioned] for the workers without one
	Status    string       `json:"status"`
	Percent   float32      `json:"percent,omitempty"` // of a ramp, from 0 to 100
	Workers   []string     `json:"workers"`           // the identities of those that ask for work
	CreatedAt *schema.Time `json:"created_at,omitempty"`
}

// Deployment is which build gets the workflow tasks of sessions. Builds begins with the
// newest; [Unversioned], when it is current or has workers, stands last.
type Deployment struct {
	Name    string  `json:"deployment"`
	Current string  `json:"current"`
	Ramping string  `json:"ramping,omitempty"`
	Percent float32 `json:"percent,omitempty"`
	Builds  []Build `json:"builds"`

	token []byte
}

// ReadDeployment asks Temporal for the deployment and for the workers that poll now. No
// deployment is no error: then all is unversioned.
func ReadDeployment(ctx context.Context, c client.Client) (*Deployment, error) {
	workers, err := polling(ctx, c)
	if err != nil {
		return nil, err
	}
	d := &Deployment{Name: DeploymentName, Current: Unversioned}
	answer, err := c.WorkerDeploymentClient().GetHandle(DeploymentName).Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if _, none := errors.AsType[*serviceerror.NotFound](err); err != nil && !none {
		return nil, fmt.Errorf("ask Temporal for the deployment: %w", err)
	}
	d.token = answer.ConflictToken
	routing := answer.Info.RoutingConfig
	if routing.CurrentVersion != nil {
		d.Current = routing.CurrentVersion.BuildID
	}
	if routing.RampingVersion != nil {
		d.Ramping, d.Percent = routing.RampingVersion.BuildID, routing.RampingVersionPercentage
	} else if routing.RampingVersionPercentage > 0 {
		d.Ramping, d.Percent = Unversioned, routing.RampingVersionPercentage
	}
	for i := range answer.Info.VersionSummaries {
		v := &answer.Info.VersionSummaries[i]
		created := schema.Time{Time: v.CreateTime}
		b := Build{ID: v.Version.BuildID, Status: BuildInactive, CreatedAt: &created}
		switch v.DrainageStatus {
		case client.WorkerDeploymentVersionDrainageStatusDraining:
			b.Status = BuildDraining
		case client.WorkerDeploymentVersionDrainageStatusDrained:
			b.Status = BuildDrained
		default:
		}
		d.Builds = append(d.Builds, b)
	}
	slices.SortStableFunc(d.Builds, func(a, b Build) int { return b.CreatedAt.Compare(a.CreatedAt.Time) })
	for id := range workers { // polls, and Temporal does not know the build yet
		if id != Unversioned && d.build(id) == nil {
			d.Builds = append(d.Builds, Build{ID: id, Status: BuildInactive})
		}
	}
	if len(workers[Unversioned]) > 0 || d.Current == Unversioned || d.Ramping == Unversioned {
		d.Builds = append(d.Builds, Build{ID: Unversioned, Status: BuildInactive})
	}
	for i := range d.Builds {
		b := &d.Builds[i]
		b.Workers = workers[b.ID]
		switch b.ID {
		case d.Current:
			b.Status = BuildCurrent
		case d.Ramping:
			b.Status, b.Percent = BuildRamping, d.Percent
		}
	}
	return d, nil
}

func (d *Deployment) build(id string) *Build {
	i := slices.IndexFunc(d.Builds, func(b Build) bool { return b.ID == id })
	if i < 0 {
		return nil
	}
	return &d.Builds[i]
}

// polling lists the identities of the session workers that asked for work of late, by
// build id.
func polling(ctx context.Context, c client.Client) (map[string][]string, error) {
	answer, err := c.DescribeTaskQueue(ctx, schema.TaskQueueSessions, enums.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return nil, fmt.Errorf("ask Temporal who polls %s: %w", schema.TaskQueueSessions, err)
	}
	workers := map[string][]string{}
	for _, p := range answer.GetPollers() {
		if time.Since(p.GetLastAccessTime().AsTime()) > pollerAge {
			continue
		}
		id := Unversioned
		if o := p.GetDeploymentOptions(); o.GetWorkerVersioningMode() == enums.WORKER_VERSIONING_MODE_VERSIONED {
			if o.GetDeploymentName() != DeploymentName {
				continue
			}
			id = o.GetBuildId()
		}
		if !slices.Contains(workers[id], p.GetIdentity()) {
			workers[id] = append(workers[id], p.GetIdentity())
		}
	}
	for _, list := range workers {
		slices.Sort(list)
	}
	return workers, nil
}

// Rollout makes a build current; or, with a percent from 0 to 100, ramps it: that part of the
// sessions goes to it, and 0 ends the ramp. It refuses with a [schema.Error] when no worker of
// the build polls, because its sessions would stall, and when somebody else changes the
// deployment at the same time.
func Rollout(ctx context.Context, c client.Client, buildID string, percent *float32) (*Deployment, error) {
	d, err := ReadDeployment(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := d.check(buildID, percent); err != nil {
		return nil, err
	}
	patient, cancel := context.WithTimeout(ctx, rolloutPatience)
	defer cancel()
	for {
		err := d.set(patient, c, buildID, percent)
		if err == nil {
			return ReadDeployment(ctx, c)
		}
		now, lookErr := ReadDeployment(ctx, c)
		switch was := d.routing(); {
		case lookErr != nil:
		case now.routing() == was:
			d = now
		case now.routing() == was.after(buildID, percent): // it was carried out, and the answer lost
			return now, nil
		default:
			return nil, schema.Errorf(schema.CodeConflict, "somebody else changed the deployment at the same time: it was %s, and is %s; look at it and try again", was, now.routing())
		}
		// A build that has polled for the first time a moment ago is not known everywhere yet.
		_, unknown := errors.AsType[*serviceerror.NotFound](err)
		_, early := errors.AsType[*serviceerror.FailedPrecondition](err)
		if !unknown && !early {
			return nil, fmt.Errorf("roll out build %q: %w", buildID, err)
		}
		select {
		case <-patient.Done():
			return nil, fmt.Errorf("roll out build %q: %w", buildID, err)
		case <-time.After(rolloutWait):
		}
	}
}

// routing is which builds get sessions. There is no ramp where ramping is "".
type routing struct {
	current, ramping string
	percent          float32
}

func (d *Deployment) routing() routing { return routing{d.Current, d.Ramping, d.Percent} }

// after is the routing as a [Rollout] leaves it.
func (r routing) after(buildID string, percent *float32) routing {
	switch {
	case percent != nil && *percent > 0:
		return routing{r.current, buildID, *percent}
	case percent == nil && r.ramping != buildID: // the ramp of another build goes on
		return routing{buildID, r.ramping, r.percent}
	case percent == nil:
		return routing{current: buildID}
	default:
		return routing{current: r.current}
	}
}

func (r routing) String() string {
	if r.ramping == "" {
		return fmt.Sprintf("%q", r.current)
	}
	return fmt.Sprintf("%q, with %g%% to %q", r.current, r.percent, r.ramping)
}

func (d *Deployment) check(buildID string, percent *float32) error {
	b := d.build(buildID)
	ends := percent != nil && *percent == 0
	switch {
	case percent != nil && !(*percent >= 0 && *percent <= 100):
		return schema.Errorf(schema.CodeInvalid, "percent is from 0 to 100 (got %g)", *percent)
	case ends && d.Ramping != buildID:
		return schema.Errorf(schema.CodeConflict, "build %q is not ramping; there is nothing to end", buildID)
	case !ends && (b == nil || len(b.Workers) == 0):
		return schema.Errorf(schema.CodeConflict, "no worker of build %q is polling, so its sessions would stall; %s", buildID, d.polled())
	case percent != nil && !ends && d.Current == buildID:
		return schema.Errorf(schema.CodeConflict, "build %q is already current; ramp another build", buildID)
	}
	return nil
}

// polled says which builds have workers.
func (d *Deployment) polled() string {
	var has []string
	for i := range d.Builds {
		if b := &d.Builds[i]; len(b.Workers) > 0 {
			has = append(has, fmt.Sprintf("%q (%s)", b.ID, strings.Join(b.Workers, ", ")))
		}
	}
	if len(has) == 0 {
		return "no worker of any build is"
	}
	return "polling are: " + strings.Join(has, ", ")
}

func (d *Deployment) set(ctx context.Context, c client.Client, buildID string, percent *float32) error {
	h := c.WorkerDeploymentClient().GetHandle(DeploymentName)
	if buildID == Unversioned {
		buildID = "" // Temporal's name for it, here
	}
	if percent == nil {
		_, err := h.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: buildID, ConflictToken: d.token})
		return err
	}
	if *percent == 0 {
		buildID = "" // with 0 percent, this is no ramp
	}
	_, err := h.SetRampingVersion(ctx, client.WorkerDeploymentSetRampingVersionOptions{BuildID: buildID, Percentage: *percent, ConflictToken: d.token})
	return err
}

// warnIfNoSessions warns that this worker gets no sessions.
func warnIfNoSessions(ctx context.Context, o Options) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	d, err := ReadDeployment(ctx, o.Temporal)
	if err != nil || d.Current == o.BuildID || d.Ramping == o.BuildID {
		return
	}
	o.Logger.Warn("this build gets no sessions until it is rolled out", "build_id", o.BuildID, "current", d.Current,
		"command", "holdfast rollout --build-id "+o.BuildID)
}
