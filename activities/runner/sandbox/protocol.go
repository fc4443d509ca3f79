package sandbox

// An order is what Start tells init, once.
type order struct {
	Spec *Spec `json:"spec"`
	// Made are the namespaces that init is in.
	Made    []Layer  `json:"made"`
	Missing []Status `json:"missing,omitempty"` // known before init started
	Root    bool     `json:"root,omitempty"`    // the step is root to the host
	Trees   []tree   `json:"trees,omitempty"`   // trees that are opened for init
	Masked  []string `json:"masked,omitempty"`  // paths that stay hidden
	Probe   bool     `json:"probe,omitempty"`   // build everything, start nothing
}

// A report is what init tells Start: first whether the program runs, then how it ended. In between
// it may report how much memory the step's System V segments use.
type report struct {
	Missing    []Status `json:"missing,omitempty"`
	Started    bool     `json:"started,omitempty"`
	StartError string   `json:"start_error,omitempty"` // of the program
	Fault      string   `json:"fault,omitempty"`       // of init: the world could not be built
	Outcome    *Outcome `json:"outcome,omitempty"`
	Segments   *int64   `json:"segments,omitempty"` // in bytes
}

// A tree is part of the worker's own files, opened for a step that could not reach it as nobody.
type tree struct {
	Source string `json:"source"`
	FD     int    `json:"fd"` // in init
}
