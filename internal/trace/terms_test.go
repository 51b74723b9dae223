package trace

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/roentgen-io/roentgen/segment"
)

// TestTerms lists the terms of a trace that has one of each kind.
func TestTerms(t *testing.T) {
	var h history
	h.add(0, parse(t, `{"trace_id":"1-5f84c7a1-6b1d0e0aa3c94f0d8b7e2f11","id":"a000000000000001","name":"api","start_time":1,"end_time":4,"user":"ada","error":true,`+
		`"origin":"AWS::Lambda::Function","resource_arn":"arn:x","aws":{"account_id":"111122223333","ec2":{"instance_id":"i-1","availability_zone":"z1"}},`+
		`"http":{"request":{"method":"GET","url":"http://api/","client_ip":"192.0.2.1","user_agent":"curl"},"response":{"status":404}},`+
		`"annotations":{"tier":"gold","aws.remote.service":"db","n":-0.0,"ok":false},"subsegments":[`+
		`{"id":"b000000000000001","name":"db","namespace":"remote","start_time":2,"end_time":3,"fault":true,"annotations":{"aws.remote.service":"db"}},`+
		`{"id":"b000000000000002","name":"db","namespace":"remote","start_time":2,"end_time":3,"error":true,"throttle":true}]}`),
		parse(t, `{"trace_id":"1-5f84c7a1-6b1d0e0aa3c94f0d8b7e2f11","id":"a000000000000002","name":"lost","start_time":1,"in_progress":true,"parent_id":"c000000000000001"}`))
	row := Assemble(h.docs[0].Segment.TraceID, h.docs).Row()
	text := func(key, value string) Term {
		return TermValue(Annotation{Key: key, Type: segment.TypeString, String: value})
	}
	want := []Term{
		TermService("api"), TermService("db"), TermService("lost"),
		TermServiceType("AWS::Lambda::Function"), TermServiceType("remote"), TermServiceType("client"), TermServiceType(""),
		TermAccount("111122223333"), TermAccount(""),
		TermEdge("api", "api"), TermEdge("api", "db"),
		TermKey("tier"), TermKey("n"), TermKey("ok"), TermKey("aws.remote.service"), TermKey("aws_remote_service"),
		TermKey("aws.local.service"), TermKey("aws_local_service"),
		text("tier", "gold"), text("aws.remote.service", "db"), text("aws_remote_service", "db"), text("aws.local.service", "db"), text("aws_local_service", "db"),
		TermValue(Annotation{Key: "n", Type: segment.TypeNumber}), TermValue(Annotation{Key: "ok", Type: segment.TypeBool}),
		TermMethod("GET"), TermURL("http://api/"), TermClientIP("192.0.2.1"), TermStatus(404),
		TermUser("ada"), TermARN("arn:x"), TermInstance("i-1"), TermZone("z1"),
		TermMark(MarkError), TermMark(MarkPartial), TermMark(MarkInferred), TermMark(MarkInProgress),
		TermMark(MarkAnyError), TermMark(MarkAnyFault), TermMark(MarkAnyThrottle), TermMark(MarkFaultCause), TermMark(MarkErrorCause),
		TermMark(MarkDocuments), TermMark(MarkFailed),
	}
	for _, least := range []struct {
		q     Quantity
		bound float64
	}{
		{QuantityStatus, 300}, {QuantityStatus, 404},
		{QuantityResponseTime, 0.25}, {QuantityResponseTime, 0.5}, {QuantityResponseTime, 1}, {QuantityResponseTime, 3},
	} {
		term, is := TermAtLeast(least.q, least.bound)
		if !is {
			t.Errorf("there is no term of quantity %d for %v", least.q, least.bound)
		}
		want = append(want, term)
	}
	slices.Sort(want)
	if len(slices.Compact(slices.Clone(want))) != len(want) {
		t.Error("two of the terms are the same")
	}
	got := row.AppendTerms([]Term{7})
	if got[0] != 7 {
		t.Error("AppendTerms changed what was there")
	}
	got = got[1:]
	slices.Sort(got)
	if !slices.Equal(got, want) {
		for _, g := range got {
			if !slices.Contains(want, g) {
				t.Errorf("has %x, which it should not", uint64(g))
			}
		}
		for i, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("lacks %x, number %d in order", uint64(w), i)
			}
		}
		t.Errorf("%d terms, want %d", len(got), len(want))
	}
}

// TestTermsOfAnyRow holds that each thing that a row has is among its terms,
// whatever repeats and in whatever order.
func TestTermsOfAnyRow(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		r := randomRow(rng)
		for range rng.IntN(40) {
			r.Services = append(r.Services, ServiceID{Name: string('a' + rune(rng.IntN(20))), Type: string('a' + rune(rng.IntN(20)))})
		}
		for range rng.IntN(40) * min(1, len(r.Services)) {
			r.Calls = append(r.Calls, CallEntry{From: rng.IntN(len(r.Services)), To: rng.IntN(len(r.Services))})
		}
		slices.SortFunc(r.Annotations, func(x, y Annotation) int { return compareAnnotations(&x, &y) })
		has := map[Term]bool{}
		for _, term := range r.AppendTerms(nil) {
			has[term] = true
		}
		need := func(terms ...Term) {
			for _, term := range terms {
				if !has[term] {
					t.Errorf("a term is missing of %+v", r)
				}
			}
		}
		for _, s := range r.Services {
			need(TermService(s.Name), TermServiceType(s.Type), TermAccount(s.AccountID))
		}
		for _, c := range r.Calls {
			need(TermEdge(r.Services[c.From].Name, r.Services[c.To].Name))
			if c.Flags&FlagFault != 0 {
				need(TermMark(MarkAnyFault))
			}
		}
		for _, a := range r.Annotations {
			b := a
			b.Key = AliasKey(a.Key)
			need(TermKey(a.Key), TermKey(b.Key), TermValue(a), TermValue(b))
		}
		for _, u := range r.Users {
			need(TermUser(u))
		}
		if t.Failed() {
			return
		}
	}
}

// TestTermAtLeast holds that a row has the term of a bound whenever its quantity reaches the
// bound, and lacks it when it is below half of that.
func TestTermAtLeast(t *testing.T) {
	for _, have := range []float64{-1, 0, 0.2499, 0.25, 0.3, 1, 1.999, 2, 59, 3600, 1e9, math.Inf(1)} {
		r := Row{Duration: have, HasDuration: true, ResponseTime: have}
		terms := r.AppendTerms(nil)
		for _, bound := range []float64{math.Inf(-1), 0, 0.2499, 0.25, 0.26, 1, 1.5, 3, 60, 3600, 1e9, math.Inf(1)} {
			term, is := TermAtLeast(QuantityDuration, bound)
			if is != (bound >= 0.25) {
				t.Errorf("a term for %v: %v", bound, is)
			}
			switch has := slices.Contains(terms, term); {
			case !is:
			case have >= bound && !has:
				t.Errorf("a row of %v s lacks the term for %v s", have, bound)
			case have <= bound/2 && has && bound < 1<<17:
				t.Errorf("a row of %v s has the term for %v s", have, bound)
			}
			if other, is := TermAtLeast(QuantityResponseTime, bound); is && slices.Contains(terms, other) {
				t.Errorf("a row without a response time has a term for %v s of it", bound)
			}
		}
	}
}

func TestAliasKey(t *testing.T) {
	for key, want := range map[string]string{
		"": "", "a_1Z": "a_1Z", "aws.local.service": "aws_local_service", "é": "_", "a b\xff": "a_b_", "aws:api_id": "aws_api_id",
	} {
		if got := AliasKey(key); got != want {
			t.Errorf("AliasKey(%q) = %q, want %q", key, got, want)
		}
	}
}
