package trace

// RootCause tells how a fault, an error or most of the response time came about:
// the services from where it shows down to where it began.
type RootCause struct {
	Services []RootCauseService
	// ClientImpacting says that the caller of the trace met it: the path begins at
	// the root.
	ClientImpacting bool
}

// RootCauseService is a step of a root cause in one service.
type RootCauseService struct {
	Service  ServiceID
	Inferred bool
	Entities []RootCauseEntity // from the segment down, at least one
}

// RootCauseEntity is a segment or subsegment on the path of a root cause.
type RootCauseEntity struct {
	Name     string
	Coverage float64 // share of the root's duration, 0 to 1; of response times only
	Remote   bool    // a call to another service
	// Exceptions are those of the entity's cause; of faults and errors only.
	Exceptions []RootCauseException
}

// RootCauseException is an exception on the path of a root cause.
type RootCauseException struct {
	Name    string // its type
	Message string
}
