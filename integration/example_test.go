package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"failoverd/integration/lab"
)

// exampleFile returns a file of a recipe as it is in conf/examples, with each old text replaced by the new one that
// follows it: paths, which are the lab's here. What is to be replaced must be there.
func exampleFile(t *testing.T, name string, oldnew ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "conf", "examples", name))
	must(t, err)
	text := string(b)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("%s has no %q", name, oldnew[i])
		}
		text = strings.ReplaceAll(text, oldnew[i], oldnew[i+1])
	}
	return text
}

// startExample runs failoverd on a node with a file of a recipe, read as that of the node with an identity; empty: the file
// is for one node only. Nothing that check says of the file is to be an error.
func startExample(t *testing.T, l *lab.Lab, node *lab.Node, name, id string, oldnew ...string) *agent {
	t.Helper()
	var args []string
	if id != "" {
		args = []string{"-i", id}
	}
	a := startAgent(t, l, node, exampleFile(t, name, oldnew...), args...)
	if out, code := a.cli(append([]string{"check", "-f", a.conf}, args...)...); code != 0 {
		t.Fatalf("check of %s: exit code %d:\n%s", name, code, out)
	}
	return a
}
