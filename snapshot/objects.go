package snapshot

import (
	"context"
	"os"
	"path"
	"path/filepath"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/holdfast/holdfast/schema"
)

// Other objects that are stored beside the snapshots, such as blocks of old logs, have their own
// keys: slashes, letters, digits, dots and dashes. They must not begin with the name of one of this
// package's kinds.

// WriteObject stores data under a key, and replaces what was there. It is durable on return.
func (s *Store) WriteObject(ctx context.Context, key string, data []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, blobTimeout, errSlow)
	defer cancel()
	err := s.bucket.WriteAll(ctx, key, data, &blob.WriterOptions{ContentType: "application/zstd", DisableContentTypeDetection: true})
	if err != nil {
		return away(ctx, err)
	}
	if s.dir == "" {
		return nil
	}
	if err := syncOne(filepath.Join(s.dir, filepath.FromSlash(key))); err != nil {
		return away(ctx, err)
	}
	for dir := path.Dir(key); ; dir = path.Dir(dir) { // the names of the folders above it
		if err := syncOne(filepath.Join(s.dir, filepath.FromSlash(dir))); err != nil {
			return away(ctx, err)
		}
		if dir == "." {
			return nil
		}
	}
}

// ReadObject returns what is stored under a key; [schema.CodeNotFound] if nothing is.
func (s *Store) ReadObject(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, blobTimeout, errSlow)
	defer cancel()
	data, err := s.bucket.ReadAll(ctx, key)
	if err != nil && gcerrors.Code(err) == gcerrors.NotFound {
		return nil, schema.Errorf(schema.CodeNotFound, "%q is not in the blob store", key)
	}
	if err != nil {
		return nil, away(ctx, err)
	}
	return data, nil
}

// DeleteObject removes what is stored under a key, if anything.
func (s *Store) DeleteObject(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, blobTimeout, errSlow)
	defer cancel()
	if err := s.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return away(ctx, err)
	}
	if s.dir != "" {
		_ = os.Remove(filepath.Join(s.dir, filepath.FromSlash(path.Dir(key)))) // succeeds only if it is empty
	}
	return nil
}
