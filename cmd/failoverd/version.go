package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=...); otherwise the build information says it.
var version string

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return p.version() },
	}
}

func (p *program) version() error {
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprint(p.stdout, versionText(version, info))
	return outputError(err)
}

// buildVersion is the version alone.
func buildVersion() string {
	info, _ := debug.ReadBuildInfo()
	return pickVersion(version, info)
}

func pickVersion(linked string, info *debug.BuildInfo) string {
	switch {
	case linked != "":
		return linked
	case info == nil || info.Main.Version == "":
		return "(devel)"
	}
	return info.Main.Version
}

// versionText is one line with the versions of failoverd, Go and gobgp, and one with the platform and the commit.
func versionText(linked string, info *debug.BuildInfo) string {
	with := []string{runtime.Version()}
	commit := ""
	if info != nil {
		for _, d := range info.Deps {
			if strings.HasPrefix(d.Path, "github.com/osrg/gobgp/") {
				with = append(with, "gobgp "+d.Version)
			}
		}
		commit = commitOf(info.Settings)
	}
	return fmt.Sprintf("failoverd %s (%s)\n%s/%s%s\n", pickVersion(linked, info), strings.Join(with, ", "),
		runtime.GOOS, runtime.GOARCH, commit)
}

// commitOf names the commit that was built, if the build knows it.
func commitOf(settings []debug.BuildSetting) string {
	var revision, changed string
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			revision = ", commit " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + changed
}
