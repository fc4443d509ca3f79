package store

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A database may have many millions of events. A migration that builds an index in its transaction blocks all writers
// meanwhile; concurrentIndexes builds the index before that.
func TestMigrations_BuildNoIndexOnEventsInTheirTransaction(t *testing.T) {
	t.Parallel()
	known, err := knownMigrations()
	if err != nil {
		t.Fatal(err)
	}
	index := regexp.MustCompile(`(?i)CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)\s+ON\s+(?:ONLY\s+)?events\b`)
	found := 0
	for _, m := range known.Sorted() {
		text, err := migrationFiles.ReadFile("migrations/" + m.String() + ".tx.up.sql")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := olderReleases(m.String()); err != nil {
			t.Error(err)
		}
		if strings.Contains(strings.ToUpper(string(text)), "CREATE TABLE IF NOT EXISTS EVENTS (") {
			continue // it is empty
		}
		for _, name := range index.FindAllStringSubmatch(string(text), -1) {
			found++
			if !slices.ContainsFunc(concurrentIndexes, func(e concurrentIndex) bool { return e.migration == m.Name && e.name == name[1] }) {
				t.Errorf("%s builds the index %s while nobody can write", m.String(), name[1])
			}
		}
	}
	if found != len(concurrentIndexes) {
		t.Errorf("%d indexes are built early, and %d are in migrations", len(concurrentIndexes), found)
	}
}
