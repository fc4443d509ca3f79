package embedded

import (
	"bytes"
	"os"
	"strconv"
)

// RunningPostgres is the address of the server that uses a folder now, whoever started it; false when there is none.
func RunningPostgres(dir string) (dsn string, running bool, err error) {
	p := &Postgres{Dir: dir}
	if p.Postmaster() == 0 {
		return "", false, nil
	}
	const portLine = 3 // of postmaster.pid, counted from 0
	content, err := os.ReadFile(p.pidFile())
	if err != nil {
		return "", false, err
	}
	lines := bytes.Split(content, []byte("\n"))
	if len(lines) <= portLine {
		return "", false, nil // it is just starting
	}
	if p.Port, err = strconv.Atoi(string(bytes.TrimSpace(lines[portLine]))); err != nil {
		return "", false, err
	}
	if p.password, err = p.readPassword(); err != nil {
		return "", false, err
	}
	return p.DSN(DefaultDatabase), true, nil
}
