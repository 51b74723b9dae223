package demo

import (
	"fmt"
	"strconv"
)

// What goes on behind the pages: the functions that follow an order, and reports.

const queueURL = "https://sqs." + region + ".amazonaws.com/" + account + "/order-events"

// message is an order event on its way through the queue.
type message struct {
	trace  string
	entity uint64 // the SendMessage subsegment
	at     micros
	order  string
	value  float64
}

func (g *Generator) enqueue(m message) { g.queue = append(g.queue, m) }

// lambda tells one invocation of a function: the segment of the Lambda service,
// the one of the function, both written by the platform, and what the SDK inside
// the function adds, which are subsegments that name the function's segment as
// their parent. begin adds what stands before the invocation in the service's
// segment.
func (st *story) lambda(platform, fn *service, parent uint64, at micros, links []link, begin func(service *frame), handler func(*frame) int) {
	arn := "arn:aws:lambda:" + region + ":" + account + ":function:" + platform.name
	service := &frame{story: st, from: st.on(platform, at), now: at}
	service.seg = &entity{id: st.newID(), parent: parent, name: platform.name, origin: "AWS::Lambda", resourceARN: arn,
		start: at, bare: true, links: links, http: &httpBlock{status: 200}}
	service.e = service.seg
	service.seg.aws = []field{str("request_id", st.uuid()), str("function_arn", arn), rawJSON("resource_names", `["`+platform.name+`"]`)}
	if begin != nil {
		begin(service)
	}
	attempts := 1
	for attempt := 1; attempt <= attempts; attempt++ {
		status := st.attempt(service, platform, fn, arn, attempt, handler)
		if status >= 500 && attempt == 1 {
			attempts = 2 // Lambda tries an event again
			service.now += st.r.latency(1_000, 0.2)
		}
		service.seg.fault = status >= 500
	}
	service.seg.end = service.now
	st.deliver(service, service.seg, asSegment)
}

func (st *story) attempt(service *frame, platform, fn *service, arn string, number int, handler func(*frame) int) int {
	sub := service.begin("Attempt #"+strconv.Itoa(number), "")
	sub.http = &httpBlock{status: 200}
	service.work(6, 0.4)
	from := st.on(platform, service.now)
	function := &entity{id: st.newID(), parent: sub.id, name: platform.name, origin: fn.origin, resourceARN: arn, start: service.now, bare: true}
	function.aws = []field{str("account_id", account), str("function_arn", arn), rawJSON("cloudwatch_logs",
		`[{"log_group":"/aws/lambda/`+platform.name+`"}]`)}
	outer := &frame{story: st, from: from, seg: function, e: function, now: service.now}
	if st.r.chance(0.06) { // a cold start
		outer.local("Initialization", func() { outer.work(640, 0.3) })
		function.annotations = []field{flag("aws_cold_start", true)}
	}
	// The function's own SDK: its subsegments go out one by one over UDP.
	invocation := outer.begin("Invocation", "")
	in := &frame{story: st, from: st.on(fn, outer.now), seg: invocation, e: invocation, now: outer.now, parts: 1 << 20}
	status := handler(in)
	outer.now = in.now
	invocation.fault = status >= 500
	invocation.cause.reference = in.failure
	if status < 500 {
		invocation.cause.reference = 0
	}
	outer.finish(invocation)
	outer.local("Overhead", func() { outer.work(1.2, 0.6) })
	function.end, function.fault = outer.now, invocation.fault
	st.deliver(outer, function, asSegment)
	service.now = outer.now + st.r.latency(2, 0.4)
	sub.end = service.now
	if sub.fault = status >= 500; sub.fault {
		sub.http.status = 200 // the invocation was answered; the function failed
	}
	return status
}

// workQueue tells what the order worker does with the messages of one second:
// batches of up to five, each a trace of its own with links to the orders.
func (g *Generator) workQueue() {
	for len(g.queue) > 0 {
		n := min(len(g.queue), 1+g.random.IntN(5))
		batch := g.queue[:n]
		g.queue = g.queue[n:]
		st := &story{g: g, r: g.random}
		newest := batch[0].at
		for _, m := range batch {
			newest = max(newest, m.at)
		}
		wait := st.r.latency(140, 0.5) + micros(float64(80*second)*g.trouble(queueBacklog, newest))
		at := newest + wait
		st.newTrace(at, false)
		links := make([]link, n)
		for i, m := range batch {
			links[i] = link{trace: m.trace, id: m.entity, attributes: []field{
				str("aws.xray.reserved.reference_type", "parent"),
				rawJSON("aws.xray.reserved.names", `["orders"]`),
				str("aws.xray.reserved.type", origins[onBeanstalk]),
				number("aws.xray.reserved.received_event_end_time", float64(m.at/1000)/1000),
				number("aws.xray.reserved.dwell_end_time", float64(at/1000)/1000),
			}}
		}
		c := g.cast
		st.lambda(c.orderWorker, c.orderWorkerFn, 0, at, links, nil, func(f *frame) int {
			for _, m := range batch {
				if status := f.fulfil(m); status != 200 {
					return status
				}
			}
			return 200
		})
	}
	g.queue = g.queue[:0]
}

// fulfil is the worker's handling of one order.
func (f *frame) fulfil(m message) (status int) {
	status = 200
	f.local("order "+m.order, func() {
		f.e.annotations = []field{str("order_id", m.order), number("order_value", m.value)}
		f.aws("DynamoDB", "PutItem", 6, 0.4, str("table_name", "shipments"))
		f.local("invoice", func() {
			f.work(35, 0.4)
			if f.r.chance(0.012) {
				f.raise(f.e, badInvoice, pick(f.r, []string{"XK", "GG", "AX"}))
				status = 500
			}
		})
		if status != 200 {
			f.e.fault = true
			f.e.cause.reference = f.failure
			return
		}
		f.aws("S3", "PutObject", 31, 0.4, str("bucket_name", "shop-invoices"), str("key", "2026/"+m.order+".pdf"))
		e := f.aws("SNS", "Publish", 13, 0.4, str("topic_arn", "arn:aws:sns:"+region+":"+account+":order-confirmations"))
		f.mail(e)
	})
	return status
}

// mail tells the asynchronous invocation of the mailer, in the same trace as the
// message that set it off.
func (f *frame) mail(cause *entity) {
	c := f.g.cast
	at := cause.end + f.r.latency(30, 0.3)
	f.lambda(c.confirmationMailer, c.confirmationMailerFn, cause.id, at, nil, func(service *frame) {
		dwell := service.begin("Dwell Time", "")
		service.work(45, 0.6)
		dwell.end = service.now
	}, func(f *frame) int {
		f.aws("SecretsManager", "GetSecretValue", 16, 0.4)
		f.remote("smtp-relay.mail.example", "POST", "/v1/messages", 202, 140, 0.5)
		return 200
	})
}

// report tells one sales report. Somebody asks for it and is answered at once;
// the work takes a minute and sends word of itself while it lasts.
func (st *story) report(at micros) {
	c := st.g.cast
	st.newTrace(at, false)
	st.who, st.known = st.g.cast.customers[st.r.zipf(12)], true
	h := &httpBlock{method: "POST", url: c.gateway.base + "/admin/reports/sales", agent: browsers[2], clientIP: st.who.ip, forwarded: true}
	st.segment(c.gateway, 0, at, h, func(f *frame) int {
		f.identify("desktop")
		f.work(1.5, 0.4)
		e := f.begin("reports.shop.internal", "remote")
		e.http = &httpBlock{method: "POST", url: c.reports.base + "/jobs", traced: true}
		st.reportJob(e.id, f.now+millisecond)
		f.work(24, 0.4)
		e.answer(202)
		f.finish(e)
		f.work(1, 0.3)
		return 202
	})
}

// reportJob is the work itself. Its documents are what an SDK sends for a long
// segment: an unfinished one at the start, each part on its own, the whole at
// the end.
func (st *story) reportJob(parent uint64, at micros) {
	s := st.g.cast.reports
	f := &frame{story: st, from: st.on(s, at), now: at, parts: 1 << 20}
	seg := &entity{id: st.newID(), parent: parent, name: s.name, start: at, origin: s.origin,
		http: &httpBlock{method: "POST", url: s.base + "/jobs", agent: userAgents[goSDK], clientIP: "10.20.31.7"}}
	f.seg, f.e = seg, seg
	months := f.r.between(1, 12)
	seg.annotations = []field{str("report", "sales"), count("months", months), str("tenant", st.who.tenant), str("version", f.from.version)}
	total := f.r.span(20*second, 90*second)
	st.announce(f, seg, asSegment)

	died := f.r.chance(0.015) // the container is killed and nobody says so
	ends := []string{"ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "memory", "statement"}
	outcome := pick(f.r, ends)
	status := 200

	step := func(name string, share float64, tell func(until micros)) {
		if status != 200 {
			return
		}
		e := f.begin(name, "")
		outer := f.e
		st.announce(f, e, asIndependent)
		f.e = e
		tell(f.now + micros(share*float64(total)))
		f.e = outer
		if died && name == "aggregate" {
			status = 0
			return
		}
		if e.fault {
			seg.cause.reference = f.failure
			status = 500
		}
		f.finish(e)
	}
	step("collect orders", 0.6, func(until micros) {
		part := (until - f.now) / int64(months)
		for m := range months {
			q := f.begin("orders@db-replica.internal", "remote")
			q.sql = &sqlBlock{url: "postgresql://db-replica.internal:5432/orders", engine: "PostgreSQL", version: "17.6", driver: "psycopg 3.2.10",
				user: "reports", preparation: "statement",
				query: "SELECT o.tenant, l.sku, sum(l.quantity), sum(l.net) FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.created_at >= %s AND o.created_at < %s GROUP BY 1, 2"}
			f.now += part * int64(70+f.r.IntN(40)) / 100
			if outcome == "statement" && m == months-1 {
				f.raise(q, statementCancelled, "30")
				f.e.fault = true
				f.e.cause.reference = f.failure
			}
			f.finish(q)
			f.now += f.r.latency(30, 0.4)
		}
	})
	step("aggregate", 0.3, func(until micros) {
		f.now = max(until, f.now+second)
		f.e.metadata = fmt.Appendf(nil, `{"reports":{"rows":%d,"frames":%d}}`, f.r.between(100_000, 20_000_000), months)
		if outcome == "memory" {
			f.raise(f.e, outOfMemory, strconv.Itoa(f.r.between(1200, 2400)))
		} else if f.r.chance(0.12) {
			f.e.metadata = f.pivot(900)
		}
	})
	step("publish", 0.1, func(until micros) {
		f.local("render workbook", func() { f.now = max(until, f.now+second) })
		f.aws("S3", "PutObject", 210, 0.4, str("bucket_name", "shop-reports"), str("key", "sales/"+st.who.tenant+".xlsx"))
		f.aws("SNS", "Publish", 14, 0.4, str("topic_arn", "arn:aws:sns:"+region+":"+account+":reports-ready"))
	})
	if status == 0 {
		return
	}
	f.work(20, 0.3)
	seg.end = f.now
	seg.answer(status)
	st.deliver(f, seg, asSegment)
}

// pivot is the kind of thing people put into metadata: a table that makes the
// document longer than a datagram.
func (f *frame) pivot(rows int) []byte {
	b := []byte(`{"reports":{"preview":[`)
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"tenant":%q,"sku":"SKU-%05d","quantity":%d,"net":%d.%02d,"month":"2026-%02d"}`,
			tenants[i%len(tenants)].name, f.r.between(1, 99999), f.r.between(1, 900), f.r.between(4, 40_000), f.r.IntN(100), i%12+1)
	}
	return append(b, `]}}`...)
}
