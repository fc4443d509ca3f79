package snapshot_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast/holdfast/snapshot"
)

const many = 10_000

// manyFiles makes ten thousand small files in a hundred folders.
func manyFiles(b *testing.B, dir string) {
	b.Helper()
	for i := range many {
		put(b, dir, fmt.Sprintf("d%02d/file-%d.txt", i%100, i), fmt.Sprint("the content of file ", i))
	}
	older(b, dir)
}

func BenchmarkSave_NothingChanged10k(b *testing.B) {
	w := start(b)
	dir, f := w.folder("a")
	manyFiles(b, dir)
	base := w.save(f, snapshot.SaveOptions{}).Digest
	for b.Loop() {
		if s := w.save(f, snapshot.SaveOptions{Base: base}); s.Digest != base || s.Stats.Read != 0 {
			b.Fatalf("%+v", s)
		}
	}
}

func BenchmarkSave_OneOf10kChanged(b *testing.B) {
	w := start(b)
	dir, f := w.folder("a")
	manyFiles(b, dir)
	base := w.save(f, snapshot.SaveOptions{}).Digest
	for i := 0; b.Loop(); i++ {
		put(b, dir, "d00/file-0.txt", fmt.Sprint("changed ", i))
		base = w.save(f, snapshot.SaveOptions{Base: base}).Digest
	}
}

func BenchmarkSave_OneSmallFileChanged(b *testing.B) {
	w := start(b)
	dir, f := w.folder("a")
	base := ""
	for i := 0; b.Loop(); i++ {
		put(b, dir, "result.txt", fmt.Sprint("changed ", i))
		base = w.save(f, snapshot.SaveOptions{Base: base}).Digest
	}
}

func BenchmarkSave_10kForTheFirstTime(b *testing.B) {
	dir := b.TempDir()
	manyFiles(b, dir)
	for b.Loop() {
		w := start(b)
		w.save(snapshot.NewFolder(dir, b.TempDir()), snapshot.SaveOptions{})
	}
}

func BenchmarkRestore_10k(b *testing.B) {
	w := start(b)
	dir, f := w.folder("a")
	manyFiles(b, dir)
	digest := w.save(f, snapshot.SaveOptions{}).Digest
	for i := 0; b.Loop(); i++ {
		_, g := w.folder(fmt.Sprint("b", i))
		w.restore(g, digest)
	}
}

func BenchmarkSave_OneLargeFile(b *testing.B) {
	const size = 256 << 20
	w := start(b)
	dir, f := w.folder("a")
	data := make([]byte, size)
	_, _ = rand.Read(data)
	b.SetBytes(size)
	for i := 0; b.Loop(); i++ {
		for at := 0; at < size; at += 1 << 20 {
			data[at] = byte(i)
		}
		must(b, os.WriteFile(filepath.Join(dir, "large"), data, 0o644))
		w.save(f, snapshot.SaveOptions{})
	}
}

func BenchmarkMeasure_10k(b *testing.B) {
	w := start(b)
	dir, _ := w.folder("a")
	manyFiles(b, dir)
	for b.Loop() {
		_, err := snapshot.Measure(b.Context(), dir)
		must(b, err)
	}
}
