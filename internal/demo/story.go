package demo

import "strconv"

// story is one trace as it is being told.
type story struct {
	g     *Generator
	r     *random
	trace string
	begun micros
	who   customer
	known bool // the customer is signed in
}

// newTrace gives the story a fresh trace id, for a request that came at the
// moment at. W3C ids have no epoch in them.
func (st *story) newTrace(at micros, w3c bool) {
	epoch := uint64(at / second)
	if w3c {
		epoch = st.r.Uint64() & 0xffffffff
	}
	b := append(make([]byte, 0, 35), '1', '-')
	b = appendHex(b, epoch, 8)
	b = append(b, '-')
	b = appendHex(b, st.r.Uint64(), 8)
	b = appendHex(b, st.r.Uint64(), 16)
	st.trace, st.begun = string(b), at
}

// newID returns an id of an entity or exception; never 0, which stands for none.
func (st *story) newID() uint64 { return st.r.Uint64() | 1<<60 }

// on picks a host of a service, with what runs there at the moment.
func (st *story) on(s *service, at micros) sender {
	h := &s.hosts[st.r.IntN(len(s.hosts))]
	return sender{service: s, dialect: s.dialect, host: h, version: st.g.versionAt(s, h.index, at), elasticBeanstalk: s.beanstalk}
}

// frame is where a story stands inside one segment: the entity that is open and
// the moment that is reached. Handlers move it along.
type frame struct {
	*story
	from sender
	seg  *entity // the segment
	e    *entity // the open entity, seg itself or one below it
	now  micros
	// failure is the id of the newest exception below, for those above to refer to.
	failure uint64
	parts   int // subsegments so far
}

// segment tells what a service does for one request and hands the documents to
// the sender. The handler returns the HTTP status of the answer. It returns the
// moment the segment ended and the exception that made it fail, if any.
func (st *story) segment(s *service, parent uint64, at micros, h *httpBlock, tell func(*frame) int) (status int, end micros, failure uint64) {
	from := st.on(s, at)
	e := &entity{id: st.newID(), parent: parent, name: s.name, start: at, origin: s.origin, http: h}
	f := &frame{story: st, from: from, seg: e, e: e, now: at}
	status = tell(f)
	e.end = f.now
	e.answer(status)
	if h != nil && h.length == 0 && status != 204 {
		h.length = st.r.between(80, 24_000)
	}
	st.deliver(f, e, asSegment)
	return status, e.end, f.failure
}

// answer notes an HTTP status and the flags that go with it.
func (e *entity) answer(status int) {
	if e.http != nil {
		e.http.status = status
	}
	switch {
	case status == 429:
		e.err, e.throttle = true, true
	case status >= 500:
		e.fault = true
	case status >= 400:
		e.err = true
	}
}

// begin opens a subsegment below the open entity.
func (f *frame) begin(name, namespace string) *entity {
	e := &entity{id: f.newID(), parent: f.e.id, name: name, namespace: namespace, start: f.now}
	f.e.children = append(f.e.children, e)
	f.parts++
	// SDKs count the subsegments of a segment and send finished ones on their own
	// when there are many.
	e.streamed = f.from.streamAt > 0 && f.parts > f.from.streamAt
	return e
}

// finish closes a subsegment at the moment reached.
func (f *frame) finish(e *entity) {
	e.end = f.now
	if e.streamed {
		f.deliver(f, e, asIndependent)
	}
}

// work lets time pass.
func (f *frame) work(medianMillis, sigma float64) { f.now += f.r.latency(medianMillis, sigma) }

// local tells a piece of the service's own work as a subsegment.
func (f *frame) local(name string, tell func()) *entity {
	e, outer := f.begin(name, ""), f.e
	f.e = e
	tell()
	f.e = outer
	f.finish(e)
	return e
}

// parallel tells several pieces that start together and waits for the last.
func (f *frame) parallel(tells ...func()) {
	start, end := f.now, f.now
	for _, tell := range tells {
		f.now = start
		tell()
		end = max(end, f.now)
	}
	f.now = end
}

// call sends a request to another service of the shop and returns its status, 504
// when the caller lost patience after limit (0: never).
func (f *frame) call(s *service, method, path string, limit micros, tell func(*frame) int) int {
	e := f.begin(s.base[len("http://"):], "remote")
	url := s.base + path
	e.http = &httpBlock{method: method, url: url, traced: true}
	network := f.r.latency(0.4, 0.4)
	h := &httpBlock{method: method, url: url, agent: userAgents[f.from.dialect], clientIP: f.from.host.ip}
	status, end, failure := f.segment(s, e.id, f.now+network, h, tell)
	back := end + network
	if limit > 0 && back > f.now+limit {
		f.now += limit
		f.raise(e, timeouts[f.from.dialect], s.name, strconv.FormatInt(limit/millisecond, 10))
		f.finish(e)
		return 504
	}
	f.now = back
	e.answer(status)
	e.http.length = h.length
	if failure != 0 && status >= 500 {
		e.cause.reference = failure
		f.failure = failure
	}
	f.finish(e)
	return status
}

// remote calls a host outside that sends no traces of its own.
func (f *frame) remote(host, method, path string, status int, medianMillis, sigma float64) *entity {
	e := f.begin(host, "remote")
	e.http = &httpBlock{method: method, url: "https://" + host + path}
	f.work(medianMillis, sigma)
	e.answer(status)
	if status != 0 {
		e.http.length = f.r.between(120, 4_000)
	}
	f.finish(e)
	return e
}

// aws calls an AWS service through the SDK.
func (f *frame) aws(name, operation string, medianMillis, sigma float64, more ...field) *entity {
	e := f.begin(name, "aws")
	f.work(medianMillis, sigma)
	request := base32(f.r.Uint64(), f.r.Uint64())
	fields := make([]field, 0, 6+len(more))
	fields = append(fields, str("operation", operation), str("region", region), str("request_id", request), count("retries", 0))
	e.aws = append(fields, more...)
	e.http = &httpBlock{status: 200}
	if name == "S3" {
		e.aws = append(e.aws, str("id_2", base32(f.r.Uint64(), f.r.Uint64())))
		e.http.length = f.r.between(2_000, 600_000)
	}
	f.finish(e)
	return e
}

// refuse turns a finished AWS call into one that the service refused.
func (f *frame) refuse(e *entity, status, retries int, throttled bool, x *exceptionKind, args ...string) {
	e.http.status, e.http.length = status, 0
	e.aws[3] = count("retries", retries)
	f.raise(e, x, args...)
	e.fault, e.err, e.throttle = status >= 500, status < 500, throttled
}

// sql runs a statement on the database of the orders.
func (f *frame) sql(replica bool, query string, medianMillis, sigma float64) *entity {
	host := "db.internal"
	if replica {
		host = "db-replica.internal"
	}
	e := f.begin("orders@"+host, "remote")
	e.sql = &sqlBlock{
		url: "postgresql://" + host + ":5432/orders", engine: "PostgreSQL", version: "17.6",
		driver: "psycopg 3.2.10", user: f.from.service.name, preparation: "statement", query: query,
	}
	f.work(medianMillis, sigma)
	f.finish(e)
	return e
}

// fail ends the open entity with an exception of its own and returns status.
func (f *frame) fail(status int, x *exceptionKind, args ...string) int {
	f.raise(f.e, x, args...)
	f.e.fault, f.e.err = status >= 500, status < 500
	if f.e != f.seg {
		f.seg.cause.reference = f.failure
	}
	return status
}

// note adds annotations to the segment.
func (f *frame) note(fs ...field) { f.seg.annotations = append(f.seg.annotations, fs...) }

// base32 spells a request id.
func base32(a, b uint64) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var out [26]byte
	for i := range out {
		v := a
		if i >= 13 {
			v = b
		}
		out[i] = letters[v>>(5*(i%13))&31]
	}
	return string(out[:])
}
