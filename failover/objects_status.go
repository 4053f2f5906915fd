package failover

import "fmt"

// describeObjects fills in the routes and rules of r, its macvlan interface, and what keeps these from being there.
func (c *Core) describeObjects(r *router, st *RouterStatus) {
	if v := r.cfg.VMAC; v != nil {
		st.VMAC = v.Name
		if err := c.objects.devices[v.Name]; err != "" {
			st.Objects = append(st.Objects, ObjectStatus{Kind: "device", Object: v.Name, Wanted: true, Error: err})
		}
	}
	if r.cfg.refuses() && c.objects.filter != "" {
		st.Objects = append(st.Objects, ObjectStatus{Kind: "filter", Object: "no_accept", Wanted: true, Error: c.objects.filter})
	}
	c.objects.describe(r, r.programmed, r.cfg.Routes, r.cfg.Rules, &st.Objects)
}

// describe appends lines of virtual_routes and virtual_rules of r, or, without r, of the static ones.
func (o *objects) describe(r *router, wanted bool, routes []KernelRoute, rules []KernelRule, out *[]ObjectStatus) {
	for i := range routes {
		st := ObjectStatus{Kind: "route", Object: routes[i].String(), Wanted: wanted}
		if wanted {
			k := routes[i].Key()
			owner, known := o.routeOwner[k]
			st.Error = explain(r, owner, known, o.routeErr[k])
		}
		*out = append(*out, st)
	}
	for i := range rules {
		st := ObjectStatus{Kind: "rule", Object: rules[i].String(), Wanted: wanted}
		if wanted {
			owner, known := o.ruleOwner[rules[i].identity()]
			st.Error = explain(r, owner, known, o.ruleErr[rules[i].identity()])
		}
		*out = append(*out, st)
	}
}

// explain says why a line of r is not in the kernel as it stands, as far as is known.
func explain(r, owner *router, known bool, err string) string {
	switch {
	case !known || owner == r:
		return err
	case owner == nil:
		return "a static entry is the same to the kernel, and decides"
	}
	return fmt.Sprintf("vrrp_instance %s has the same one, and comes first", owner.cfg.Name)
}

// describeStatic fills in what is there whatever the roles.
func (c *Core) describeStatic(s *Snapshot) {
	for _, a := range c.kernel.static.slots {
		s.StaticAddresses = append(s.StaticAddresses, c.kernel.describe(a))
	}
	c.objects.describe(nil, c.objects.static, c.cfg.StaticRoutes, c.cfg.StaticRules, &s.StaticObjects)
}
