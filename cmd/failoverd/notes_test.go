package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// check speaks of interfaces that this host does not have, and the exit status does not.
func TestNotesOfMissingInterfaces(t *testing.T) {
	conf := file(t, goodConf)
	for _, c := range []struct {
		name string
		list func() ([]string, error)
		want string
	}{
		{"there", func() ([]string, error) { return []string{"lo", "eth0"}, nil }, ""},
		{"not there", func() ([]string, error) { return []string{"lo"}, nil }, conf + ":2:15: note: interface eth0 does not exist here"},
		{"not known", func() ([]string, error) { return nil, errors.New("no netlink") }, ""},
	} {
		var out, errs bytes.Buffer
		p := &program{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, interfaces: c.list}
		status := p.execute(context.Background(), []string{"check", "--strict", "-f", conf})
		if status != 0 || (c.want == "") != (errs.Len() == 0) || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%s: exit status %d, %q", c.name, status, errs.String())
		}
	}
}

// A reload never reads another file than the agent's.
func TestReloadOfAnotherFile(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, &source{})
	other := file(t, goodConf)
	env := map[string]string{"FAILOVERD_STATE_DIR": dir}
	if status, stdout, stderr := cli(t, env, "reload", "-f", other); status != exitConfig || stdout != "" ||
		!strings.Contains(stderr, "the agent reads /etc/failoverd/failoverd.conf") || !strings.Contains(stderr, "plan -f "+other) {
		t.Errorf("exit status %d, %q, %q", status, stdout, stderr)
	}
}
