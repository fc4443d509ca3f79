package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
)

// Program is what a worker starts for each step: holdfast-supervisor beside the running program,
// which is small and so starts faster; without one, the running program itself.
func Program() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the program itself: %w", err)
	}
	small := filepath.Join(filepath.Dir(program), "holdfast-supervisor")
	if info, err := os.Stat(small); err == nil && info.Mode().IsRegular() {
		return small, nil
	}
	return program, nil
}
