package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast/holdfast/schema"
)

const (
	// chunkSize is the most of a file that one blob holds. It is part of the format.
	chunkSize = 4 << 20
	// maxManifest limits the unpacked size of a manifest: a million files with long names.
	maxManifest = 512 << 20

	blobDirMode = 0o700

	// blobTimeout ends operations on one blob that take so long that they will never finish.
	blobTimeout = 2 * time.Minute
)

// Store is a blob store of snapshots. It is safe for concurrent use.
type Store struct {
	bucket *blob.Bucket
	pack   *zstd.Encoder
	// Each refuses to unpack more than possible.
	unpackChunk, unpackManifest *zstd.Decoder

	dir string // of a file:// store, which must be synced to survive a power cut; else ""

	cache    manifestCache
	deleting func() // for tests: called before each deletion of a collection
}

// Open opens the store at a URL: file:///some/dir, which is created if necessary, or what the
// imported drivers know (see snapshot/clouds). It does not connect to the store yet.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open the blob store: %w", err)
	}
	s := &Store{}
	if u.Scheme == fileblob.Scheme {
		s.dir = filepath.FromSlash(u.Path)
		s.bucket, err = fileblob.OpenBucket(s.dir, &fileblob.Options{
			CreateDir: true, DirFileMode: blobDirMode,
			NoTempDir: true, // the system's /tmp may be another, small file system
			Metadata:  fileblob.MetadataDontWrite,
		})
	} else {
		s.bucket, err = blob.OpenBucket(ctx, rawURL)
	}
	if err != nil {
		return nil, fmt.Errorf("open the blob store: %w", err)
	}
	if s.pack, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithLowerEncoderMem(true)); err != nil {
		return nil, fmt.Errorf("open the blob store: %w", err)
	}
	if s.unpackChunk, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(chunkSize)); err != nil {
		return nil, fmt.Errorf("open the blob store: %w", err)
	}
	if s.unpackManifest, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxManifest)); err != nil {
		return nil, fmt.Errorf("open the blob store: %w", err)
	}
	return s, nil
}

// Close closes the store.
func (s *Store) Close() error {
	s.unpackChunk.Close()
	s.unpackManifest.Close()
	if err := s.bucket.Close(); err != nil {
		return fmt.Errorf("close the blob store: %w", err)
	}
	return nil
}

// The two kinds of objects. They have different keys, so that a file with a manifest's text does
// not count as one.
const (
	blobs     = "blobs"
	manifests = "manifests"
)

func key(kind, sum string) string { return kind + "/sha256/" + sum[:2] + "/" + sum }

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// ValidDigest reports whether s has the form of a snapshot's name.
func ValidDigest(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

const contentType = "application/zstd"

// put stores data under its sum unless it exists. It returns how many bytes that took.
func (s *Store) put(ctx context.Context, kind, sum string, data []byte) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, blobTimeout, errSlow)
	defer cancel()
	k := key(kind, sum)
	switch attrs, err := s.bucket.Attributes(ctx, k); {
	case err == nil && attrs.Size > 0: // of an empty object only the name survived a power cut
		if kind == blobs && time.Since(attrs.ModTime) < touchAfter {
			return 0, nil
		}
		// It may be about to be collected.
		there, err := s.renew(k)
		if err != nil {
			return 0, away(ctx, err)
		}
		if there {
			return 0, nil
		}
	case err != nil && gcerrors.Code(err) != gcerrors.NotFound:
		return 0, away(ctx, err)
	}
	packed := s.pack.EncodeAll(data, make([]byte, 0, len(data)/2+64))
	err := s.bucket.WriteAll(ctx, k, packed, &blob.WriterOptions{ContentType: contentType, DisableContentTypeDetection: true})
	if err != nil {
		return 0, away(ctx, err)
	}
	return int64(len(packed)), nil
}

// syncEach is the number of new blobs up to which each is synced on its own.
const syncEach = 64

// sync makes what was written to a store in a folder survive a power cut, before anything relies on
// it: Postgres survives one, and would refer to what is gone. Cloud stores do that by themselves.
func (s *Store) sync(ctx context.Context, written []string, list bool, digest string) error {
	if s.dir == "" || len(written) == 0 && !list {
		return nil
	}
	if len(written) > syncEach {
		return syncAll(s.dir)
	}
	files, dirs := make([]string, 0, len(written)+1), map[string]bool{}
	for _, sum := range written {
		files = append(files, key(blobs, sum))
	}
	if list {
		files = append(files, key(manifests, digest))
	}
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, k := range files {
		name := filepath.Join(s.dir, filepath.FromSlash(k))
		dirs[filepath.Dir(name)] = true
		g.Go(func() error { return syncOne(name) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for dir := range dirs { // the names in them
		if err := syncOne(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncOne(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// errDamaged is the cause for data that is wrong whenever it is read.
var errDamaged = errors.New("damaged")

// get reads what is stored under a sum, and verifies it.
func (s *Store) get(ctx context.Context, kind, sum string, unpack *zstd.Decoder) ([]byte, error) {
	if !ValidDigest(sum) {
		return nil, fmt.Errorf("%w: %q is not a valid digest", errDamaged, sum)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, blobTimeout, errSlow)
	defer cancel()
	packed, err := s.bucket.ReadAll(ctx, key(kind, sum))
	switch {
	case err != nil && gcerrors.Code(err) == gcerrors.NotFound:
		return nil, fmt.Errorf("%w: %s is not in the blob store", errDamaged, key(kind, sum))
	case err != nil:
		return nil, away(ctx, err)
	}
	data, err := unpack.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be unpacked: %w", errDamaged, key(kind, sum), err)
	}
	if sumOf(data) != sum {
		return nil, fmt.Errorf("%w: the content of %s does not match its name", errDamaged, key(kind, sum))
	}
	return data, nil
}

// getChunk reads a part of a file; path is for the error.
func (s *Store) getChunk(ctx context.Context, sum, path string) ([]byte, error) {
	data, err := s.get(ctx, blobs, sum, s.unpackChunk)
	if errors.Is(err, errDamaged) {
		return nil, schema.Wrap(schema.CodeInternal, err, fmt.Sprintf("the stored copy of %q is damaged", path))
	}
	return data, err
}

// Manifest reads a snapshot's manifest, which must not be changed. A name that the store does not
// know is [schema.CodeNotFound].
func (s *Store) Manifest(ctx context.Context, digest string) (*Manifest, error) {
	if !ValidDigest(digest) {
		return nil, schema.Errorf(schema.CodeInvalid, "%q is not the name of a snapshot", digest)
	}
	if m := s.cache.get(digest); m != nil {
		return m, nil
	}
	data, err := s.get(ctx, manifests, digest, s.unpackManifest)
	if errors.Is(err, errDamaged) {
		code, message := schema.CodeInternal, "the stored list of the workspace is damaged"
		if exists, e := s.bucket.Exists(ctx, key(manifests, digest)); e == nil && !exists {
			code, message = schema.CodeNotFound, "the workspace is not in the blob store"
		}
		return nil, schema.Wrap(code, err, message)
	}
	if err != nil {
		return nil, err
	}
	m, err := decode(data)
	if err != nil {
		return nil, schema.Wrap(schema.CodeInternal, err, "the stored list of the workspace is damaged")
	}
	s.cache.add(digest, m)
	return m, nil
}

var errSlow = errors.New("timed out")

func away(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errSlow) {
		return ctx.Err()
	}
	return schema.Wrap(schema.CodeUnavailable, err, "the blob store cannot be used")
}
