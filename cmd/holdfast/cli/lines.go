package cli

import (
	"bufio"
	"context"
	"io"
)

// readLines reads lines from r until it ends or ctx does. A read that is under way cannot be
// broken off: the goroutine ends with the next line or the end of r, at the latest with the
// process.
func readLines(ctx context.Context, r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}
