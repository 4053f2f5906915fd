package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"failoverd/failover"
	"failoverd/failover/status"
)

// hostInterfaces returns the names of the interfaces of this host, as far as it can be known.
func hostInterfaces() ([]string, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return names, nil
}

// notes says what a configuration needs that this host does not have now. Interfaces come and go, and a file may be
// checked elsewhere than where it is used, so these are no warnings; but a wrong name is the reason more often.
func (p *program) notes(cfg *failover.Config) (notes []string) {
	if cfg == nil || cfg.Process.NetNamespace != "" || p.interfaces == nil {
		return nil
	}
	names, err := p.interfaces()
	if err != nil {
		return nil
	}
	there := make(map[string]bool, len(names))
	for _, n := range names {
		there[n] = true
	}
	for _, u := range cfg.Interfaces {
		if !there[u.Name] {
			notes = append(notes, fmt.Sprintf("%s:%d:%d: note: interface %s does not exist here: what needs it is in FAULT until it does",
				u.File, u.Line, u.Column, u.Name))
		}
	}
	return notes
}

// faults says which routers of a running agent cannot do their work.
func (p *program) faults(ctx context.Context, c *status.Client) {
	s, err := c.Status(ctx)
	if err != nil {
		return // it has answered a moment ago; who wants to know more asks for the status
	}
	for i := range s.Routers {
		if r := &s.Routers[i]; r.State == "FAULT" {
			fmt.Fprintf(p.stderr, "note: vrrp_instance %s is in FAULT: %s\n", r.Name, r.Why)
		}
	}
	for i := range s.Services {
		if a := &s.Services[i]; a.State == failover.ServiceFault {
			fmt.Fprintf(p.stderr, "note: anycast_service %s is in FAULT: %s\n", a.Name, a.Why)
		}
	}
}

// sameFile complains if a file is named that is not the one that the agent reads: a reload reads that one in any case.
func (p *program) sameFile(ctx context.Context, c *status.Client, file string) error {
	s, err := c.Status(ctx)
	if file == "" || err != nil {
		return nil // without an answer, the reload says why
	}
	asked, err1 := filepath.Abs(file)
	used, err2 := filepath.Abs(s.Config.File)
	if err1 != nil || err2 != nil || asked == used {
		return nil
	}
	return &exitError{exitConfig, fmt.Errorf("the agent reads %s, and a reload reads that again, not %s; failoverd plan -f %s says what that file would change",
		s.Config.File, file, file)}
}
