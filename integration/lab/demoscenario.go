package lab

import (
	"fmt"
	"strings"
)

// scenario is a story that the demo can tell.
type scenario struct {
	Scenario
	crashes bool // an agent is killed, and what it leaves behind is looked at
	world   func() *world
	acts    func(*story) []func() error
}

// Scenario names a story of the demo, and says in a sentence what happens in it.
type Scenario struct{ Name, About string }

var scenarios = []scenario{
	{
		Scenario: Scenario{"local", "VRRP alone decides: crash of the mainland's master, power cut of the whole mainland, its return"},
		crashes:  true,
		world:    func() *world { return &world{machines: newMachines()} },
		acts: func(s *story) []func() error {
			return []func() error{s.start, s.steady, s.crash, s.repair, s.powerCut, s.powerReturn}
		},
	},
	{
		Scenario: Scenario{"guarded", "with a witness: the path between the regions is cut, and nothing happens; power cut of the mainland; return without a lost probe"},
		world:    func() *world { return &world{machines: newMachines(), witness: newWitness()} },
		acts: func(s *story) []func() error {
			return []func() error{s.start, s.steady, s.pathCut, s.siteDies, s.siteReturns}
		},
	},
}

// Scenarios returns what the demo can play; the first is the default.
func Scenarios() []Scenario {
	out := make([]Scenario, len(scenarios))
	for i := range scenarios {
		out[i] = scenarios[i].Scenario
	}
	return out
}

// findScenario returns the scenario of that name.
func findScenario(name string) (*scenario, error) {
	var names []string
	for i := range scenarios {
		if name == "" || scenarios[i].Name == name {
			return &scenarios[i], nil
		}
		names = append(names, scenarios[i].Name)
	}
	return nil, fmt.Errorf("scenario %q: want one of %s", name, strings.Join(names, ", "))
}
