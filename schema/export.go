package schema

// ExportFormat names the format of an export. It changes whenever a reader has to.
const ExportFormat = "holdfast-export-1"

// The entries of an export. Files of the workspace are below ExportFiles. The manifest comes last
// and says that the archive is complete: events are 1, 2, 3, … up to its head_seq.
const (
	ExportSession   = "session.json"
	ExportRuns      = "runs.json"
	ExportPlans     = "plans.json"
	ExportMessages  = "messages.json"
	ExportApprovals = "approvals.json"
	ExportAudit     = "audit.json"
	ExportFiles     = "files/"
	ExportEvents    = "events.ndjson"
	ExportEnd       = "manifest.json"
)

// ExportManifest says what an export contains.
type ExportManifest struct {
	Format    string       `json:"format"`
	SessionID string       `json:"session_id"`
	HeadSeq   int64        `json:"head_seq" doc:"The seq of the latest event"`
	CreatedAt Time         `json:"created_at"`
	Server    string       `json:"server" doc:"The version of the server that made it"`
	Counts    ExportCounts `json:"counts"`
}

// ExportCounts says how many of each there are.
type ExportCounts struct {
	Runs      int   `json:"runs"`
	Plans     int   `json:"plans"`
	Messages  int   `json:"messages"`
	Approvals int   `json:"approvals"`
	Audit     int   `json:"audit"`
	Files     int   `json:"files"`
	FileBytes int64 `json:"file_bytes"`
	Events    int64 `json:"events"`
}

// SavedPlan is a plan that a session has had.
type SavedPlan struct {
	Digest    string `json:"digest"`
	CreatedAt Time   `json:"created_at"`
	Plan      *Plan  `json:"plan"`
}
