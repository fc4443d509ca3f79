package telemetry

// The metrics.
var (
	BuildInfo = declare(Metric{
		Name: "holdfast_build_info", Kind: Gauge, Help: "1; the labels say which build runs.", Labels: []string{"version", "commit", "go_version"}, By: []Process{Web, Worker},
	})

	Sessions = declare(Metric{
		Name: "holdfast_sessions", Kind: Gauge, Help: "Sessions that are not deleted, as Postgres has them.", Labels: []string{status, "phase", "mode"}, By: []Process{Web},
	})
	StepsByStatus = declare(Metric{
		Name: "holdfast_steps", Kind: Gauge, Help: "Steps of the runs that are under way, as Postgres has them; those that are ready wait for their host.", Labels: []string{status}, By: []Process{Web},
	})
	ApprovalsWaiting = declare(Metric{
		Name: "holdfast_approvals_waiting", Kind: Gauge, Help: "Approvals that nobody has decided yet.", Labels: []string{"type"}, By: []Process{Web},
	})
	ApprovalsOldest = declare(Metric{
		Name: "holdfast_approvals_oldest_seconds", Kind: Gauge, Unit: seconds, Help: "Age of the oldest approval that is still waiting; 0 when none is.", By: []Process{Web},
	})
	ApprovalWait = declare(Metric{
		Name: "holdfast_approval_wait_seconds", Kind: Histogram, Unit: seconds, Help: "How long approvals have waited until they were closed, by what closed them.", Labels: []string{"type", "outcome"}, Buckets: slow, By: []Process{Web, Worker},
	})
	DecisionStart = declare(Metric{
		Name: "holdfast_decision_start_seconds", Kind: Histogram, Unit: seconds, Help: "From a decision to the start of the program that waited for it, at a step's first attempt.", Buckets: starts, By: []Process{Worker},
	})

	StepsRunning = declare(Metric{
		Name: "holdfast_steps_running", Kind: Gauge, Help: "Steps that this worker has: their programs run, stand still, or are being started and ended.", By: []Process{Worker},
	})
	StepsWaiting = declare(Metric{
		Name: "holdfast_steps_waiting", Kind: Gauge, Help: "Steps that wait for a place on this host: cores or memory that others use (slots), or something that the host lacks (host).", Labels: []string{"for"}, By: []Process{Worker},
	})
	StepsMax = declare(Metric{
		Name: "holdfast_steps_max", Kind: Gauge, Help: "Steps that this worker runs at a time.", By: []Process{Worker},
	})
	StepsStarted = declare(Metric{
		Name: "holdfast_steps_started_total", Kind: Counter, Help: "Attempts at steps that were started.", By: []Process{Worker},
	})
	StepsEnded = declare(Metric{
		Name: "holdfast_steps_ended_total", Kind: Counter, Help: "Attempts at steps that have ended, by how.", Labels: []string{status}, By: []Process{Web, Worker},
	})
	StepsLost = declare(Metric{
		Name: "holdfast_steps_lost_total", Kind: Counter, Help: "Attempts at steps that were lost with their worker, supervisor or host.", Labels: []string{"reason"}, By: []Process{Web, Worker},
	})
	StepsReattached = declare(Metric{
		Name: "holdfast_steps_reattached_total", Kind: Counter, Help: "Attempts at steps that this worker has come back to.", By: []Process{Worker},
	})
	SpoolBytes = declare(Metric{
		Name: "holdfast_spool_bytes", Kind: Gauge, Unit: bytes, Help: "What steps have printed that is not in Postgres yet.", By: []Process{Worker},
	})

	DiskFree = declare(Metric{
		Name: "holdfast_disk_free_bytes", Kind: Gauge, Unit: bytes, Help: "Room on the disk of the data folder.", By: []Process{Web, Worker},
	})
	DiskUsed = declare(Metric{
		Name: "holdfast_disk_used_bytes", Kind: Gauge, Unit: bytes, Help: "What is used of the disk of the data folder.", By: []Process{Web, Worker},
	})
	DiskLow = declare(Metric{
		Name: "holdfast_disk_low", Kind: Gauge, Help: "1 while the disk of the data folder has less room than HOLDFAST_DISK_LOW, else 0.", By: []Process{Web, Worker},
	})
	QuotaBytes = declare(Metric{
		Name: "holdfast_workspace_quota_bytes", Kind: Gauge, Unit: bytes, Help: "What a session's workspace may take on the disk; 0 for any size.", By: []Process{Worker},
	})
	QuotaExceeded = declare(Metric{
		Name: "holdfast_workspace_quota_exceeded_total", Kind: Counter, Help: "Attempts at steps that were ended because they went over the quota.", By: []Process{Worker},
	})

	Connections = declare(Metric{
		Name: "holdfast_connections", Kind: Gauge, Help: "Open WebSocket connections of this instance.", By: []Process{Web},
	})
	ConnectionsMax = declare(Metric{
		Name: "holdfast_connections_max", Kind: Gauge, Help: "WebSocket connections that this instance takes.", By: []Process{Web},
	})
	EventsDelivered = declare(Metric{
		Name: "holdfast_events_delivered_total", Kind: Counter, Read: true, Help: "Events handed to subscribers.", By: []Process{Web},
	})
	EventBytes = declare(Metric{
		Name: "holdfast_event_bytes_total", Kind: Counter, Read: true, Unit: bytes, Help: "Bytes of the events handed to subscribers.", By: []Process{Web},
	})
	EventLag = declare(Metric{
		Name: "holdfast_event_lag_seconds", Kind: Histogram, Unit: seconds, Help: "From the time of a log's latest event until this instance has it for its subscribers.", Buckets: quick, By: []Process{Web},
	})
	EventsBehind = declare(Metric{
		Name: "holdfast_events_behind", Kind: Gauge, Help: "Events that the subscriber of this instance that is furthest behind has yet to get.", By: []Process{Web},
	})
	Topics = declare(Metric{
		Name: "holdfast_topics", Kind: Gauge, Help: "Sessions that somebody watches.", By: []Process{Web},
	})
	FeedBytes = declare(Metric{
		Name: "holdfast_feed_bytes", Kind: Gauge, Unit: bytes, Help: "Frames held in memory for subscribers.", By: []Process{Web},
	})

	Requests = declare(Metric{
		Name: "holdfast_requests_total", Kind: Counter, Help: "HTTP requests by class of status.", Labels: []string{status}, By: []Process{Web},
	})
	RequestDuration = declare(Metric{
		Name: "holdfast_request_duration_seconds", Kind: Histogram, Unit: seconds, Help: "How long HTTP requests took, by the pattern of their path.", Labels: []string{"method", "route", status}, Buckets: quick, By: []Process{Web},
	})
	DependencyUp = declare(Metric{
		Name: "holdfast_dependency_up", Kind: Gauge, Help: "1 if the dependency was reachable at the last check, else 0: postgres, temporal, worker.", Labels: []string{"dependency"}, By: []Process{Web},
	})
)
