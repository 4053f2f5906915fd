package failover

// outOfService says why a person keeps r from taking the role; empty: nobody does.
func (c *Core) outOfService(*router) string { return "" }

// handingOver reports whether r has left its role in order and still serves.
func (r *router) handingOver() bool { return false }
