package snapshot

import (
	"context"
	"fmt"
)

// Measure adds up what a folder takes, in one walk, as a save does.
func Measure(ctx context.Context, dir string) (Usage, error) {
	root, err := openDir(dir)
	if err != nil {
		return Usage{}, fmt.Errorf("measure the workspace: %w", err)
	}
	defer root.Close()
	var c counter
	w := walker{ctx: ctx, visit: func(_, _ string, s *stat) error { c.add(s); return nil }}
	if err := w.walk(root); err != nil {
		return c.Usage, fmt.Errorf("measure the workspace: %w", err)
	}
	return c.Usage, nil
}
