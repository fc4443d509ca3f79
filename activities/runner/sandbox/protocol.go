package sandbox

// An order is what Start tells init, once.
type order struct {
	Spec *Spec `json:"spec"`
	// Made are the namespaces that init is in.
	Made    []Layer  `json:"made"`
	Missing []Status `json:"missing,omitempty"` // known before init
	Root    bool     `json:"root,omitempty"`    // the step is root to the host
	Trees   []tree   `json:"trees,omitempty"`   // what is opened for init
	Masked  []string `json:"masked,omitempty"`  // paths that stay out of sight
	Probe   bool     `json:"probe,omitempty"`   // build everything, start nothing
}

// A report is what init tells Start: first whether the program runs, then how it ended. Between
// them it may say how much memory the step's System V segments have.
type report struct {
	Missing    []Status `json:"missing,omitempty"`
	Started    bool     `json:"started,omitempty"`
	StartError string   `json:"start_error,omitempty"` // of the program
	Fault      string   `json:"fault,omitempty"`       // of init: the world could not be built
	Outcome    *Outcome `json:"outcome,omitempty"`
	Segments   *int64   `json:"segments,omitempty"` // in bytes
}

// A tree is what the worker gives a step of its own files, opened for it: as nobody it could not
// get to them.
type tree struct {
	Source string `json:"source"`
	FD     int    `json:"fd"` // in init
}
