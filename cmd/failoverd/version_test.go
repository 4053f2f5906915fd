package main

import (
	"regexp"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestVersionText(t *testing.T) {
	info := &debug.BuildInfo{
		Main: debug.Module{Path: "failoverd", Version: "v0.1.0"},
		Deps: []*debug.Module{
			{Path: "github.com/osrg/gobgp/v3", Version: "v3.37.0"},
			{Path: "github.com/osrg/gobgpx", Version: "v9"},
		},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0a1b2c"}, {Key: "vcs.modified", Value: "true"}},
	}
	clean := &debug.BuildInfo{
		Main:     debug.Module{Path: "failoverd", Version: "v0.1.0"},
		Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0a1b2c"}, {Key: "vcs.modified", Value: "false"}},
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	for _, c := range []struct {
		name, linked string
		info         *debug.BuildInfo
		want         string
	}{
		{"build information", "", info, "failoverd v0.1.0 (" + runtime.Version() + ", gobgp v3.37.0)\n" + platform + ", commit 0a1b2c with changes\n"},
		{"a clean tree", "", clean, "failoverd v0.1.0 (" + runtime.Version() + ")\n" + platform + ", commit 0a1b2c\n"},
		{"set by the linker", "1.2.3", info, "failoverd 1.2.3 (" + runtime.Version() + ", gobgp v3.37.0)\n" + platform + ", commit 0a1b2c with changes\n"},
		{"no information", "", nil, "failoverd (devel) (" + runtime.Version() + ")\n" + platform + "\n"},
		{"no version control", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "failoverd (devel) (" + runtime.Version() + ")\n" + platform + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := versionText(c.linked, c.info); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestVersionCommand(t *testing.T) {
	status, out, _ := cli(t, nil, "version")
	if status != 0 || !regexp.MustCompile(`^failoverd \S+ \(go[^)]+\)\n\S+/\S+`).MatchString(out) {
		t.Errorf("exit status %d, %q", status, out)
	}
	if _, short, _ := cli(t, nil, "-v"); short != out {
		t.Errorf("-v prints %q, version prints %q", short, out)
	}
}
