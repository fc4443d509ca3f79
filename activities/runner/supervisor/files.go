//go:build unix

package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
)

func readJSON(name string, v any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// writeJSON writes a file completely or not at all.
func writeJSON(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// Dial connects to the supervisor of an attempt's folder.
func Dial(ctx context.Context, dir string) (net.Conn, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	spec, err := ReadSpec(dir)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	// A socket's address is limited to about 100 bytes; a folder's path is not.
	conn, err := d.DialContext(ctx, "unix", filepath.Join(byDescriptor(folder), controlFile))
	if err != nil || spec.Secret == "" { // a supervisor of an earlier release needs none
		return conn, err
	}
	if err := json.NewEncoder(conn).Encode(Order{Do: DoAttach, Secret: spec.Secret}); err != nil { //nolint:gosec // the secret is meant for this supervisor
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
