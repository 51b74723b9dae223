package demo

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/segment"
)

// This file is the instrumentation of the services that have moved to OpenTelemetry: its SDK
// for Go makes their spans, and its exporter what is sent. The generator tells what
// happened, as a document, and these calls are made for it, with the times and the ids of
// the story.

// instruments are the tracers of one service: each copy of a program has one, since it
// has a resource of its own.
type instruments struct {
	service string
	ended   func(sdk.ReadOnlySpan) // is given every span at its end
	mapping otlp.Mapping

	mu      sync.Mutex
	tracers map[string]trace.Tracer // by resource
}

// maxTracers bounds the programs that a service remembers: deployments bring new ones.
const maxTracers = 32

func newInstruments(service string, ended func(sdk.ReadOnlySpan)) *instruments {
	return &instruments{service: service, ended: ended, tracers: make(map[string]trace.Tracer)}
}

// tracer returns the tracer of the program with that resource.
func (in *instruments) tracer(source []byte) (trace.Tracer, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if t := in.tracers[string(source)]; t != nil {
		return t, nil
	}
	src, err := in.mapping.Source(source)
	if err != nil {
		return nil, err
	}
	if len(in.tracers) == maxTracers {
		clear(in.tracers)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithResource(resource.NewSchemaless(attributesOf(src.Attributes)...)),
		sdk.WithSampler(sdk.AlwaysSample()), sdk.WithIDGenerator(toldIDs{}), sdk.WithSpanProcessor(processor{in.ended}))
	t := provider.Tracer("shop.internal/" + in.service)
	in.tracers[string(source)] = t
	return t, nil
}

// play makes the calls that a program of the service makes in the work that a document
// tells of.
func (in *instruments) play(text []byte) error {
	doc, err := segment.Parse(text, segment.Limits{})
	if err != nil {
		return fmt.Errorf("document of %s: %w", in.service, err)
	}
	who := *doc // a subsegment bears the name of what it is about
	who.Name = in.service
	source := otlp.AppendSource(nil, &who)
	tracer, err := in.tracer(source)
	if err != nil {
		return err
	}
	var begun []trace.Span
	var ends []time.Time
	for i, told := range otlp.AppendDocumentSpans(nil, source, doc) {
		var s otlp.Span
		if err := otlp.ParseSpan(told.Span, &s); err != nil {
			return err
		}
		ctx := context.WithValue(context.Background(), toldKey{}, ids{trace.TraceID(s.TraceID), spanID(s.ID)})
		if s.HasParent {
			parent := trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID(s.TraceID), SpanID: spanID(s.ParentID), TraceFlags: trace.FlagsSampled,
				Remote: i == 0 && doc.Kind == segment.KindSegment, // its header came with the request
			})
			ctx = trace.ContextWithSpanContext(ctx, parent)
		}
		options := []trace.SpanStartOption{
			trace.WithTimestamp(unixNano(s.Start)), trace.WithSpanKind(trace.SpanKind(s.Kind)), trace.WithAttributes(attributesOf(s.Attributes)...),
		}
		for _, l := range s.Links {
			options = append(options, trace.WithLinks(trace.Link{
				SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID(l.TraceID), SpanID: spanID(l.ID)}),
				Attributes:  attributesOf(l.Attributes),
			}))
		}
		_, span := tracer.Start(ctx, s.Name, options...)
		for _, e := range s.Events {
			span.AddEvent(e.Name, trace.WithTimestamp(unixNano(e.Time)), trace.WithAttributes(attributesOf(e.Attributes)...))
		}
		switch s.Status {
		case otlp.StatusError:
			span.SetStatus(codes.Error, s.Message)
		case otlp.StatusOK:
			span.SetStatus(codes.Ok, "")
		}
		begun, ends = append(begun, span), append(ends, unixNano(s.End))
	}
	for i := len(begun) - 1; i >= 0; i-- { // what is called ends before its caller
		begun[i].End(trace.WithTimestamp(ends[i]))
	}
	return nil
}

func unixNano(n uint64) time.Time { return time.Unix(0, int64(n)) }

func spanID(id segment.SegmentID) (out trace.SpanID) {
	binary.BigEndian.PutUint64(out[:], uint64(id))
	return out
}

// attributesOf returns attributes as the SDK has them.
func attributesOf(list []otlp.Attribute) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(list))
	for i := range list {
		key, v := attribute.Key(list[i].Key), list[i].Value
		switch v.Type {
		case otlp.ValueBool:
			out = append(out, key.Bool(v.Text() == "true"))
		case otlp.ValueInt:
			n, _ := v.Int()
			out = append(out, key.Int64(n))
		case otlp.ValueDouble:
			f, _ := v.Float()
			out = append(out, key.Float64(f))
		case otlp.ValueArray: // of texts, in this shop
			out = append(out, key.StringSlice(v.Texts()))
		default:
			out = append(out, key.String(v.Text()))
		}
	}
	return out
}

// toldIDs gives the ids that the story tells. It is an IDGenerator of the SDK.
type toldIDs struct{}

type toldKey struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

func (toldIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	told := ctx.Value(toldKey{}).(ids) // play puts them there
	return told.trace, told.span
}

func (toldIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	return ctx.Value(toldKey{}).(ids).span
}

// processor passes on spans at their end. Batches are made elsewhere, since the SDK's own
// processor does not tell of what it drops.
type processor struct{ ended func(sdk.ReadOnlySpan) }

func (processor) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (p processor) OnEnd(s sdk.ReadOnlySpan)                 { p.ended(s) }
func (processor) Shutdown(context.Context) error             { return nil }
func (processor) ForceFlush(context.Context) error           { return nil }

// upload is a client of the SDK's exporter. The one for HTTP that comes with the SDK would
// bring gRPC into the binary, and keeps to itself what was refused.
type upload struct {
	client  *http.Client
	target  string
	refused bool // of the latest request: a part of it
}

func (*upload) Start(context.Context) error { return nil }
func (*upload) Stop(context.Context) error  { return nil }

func (u *upload) UploadTraces(ctx context.Context, spans []*traces.ResourceSpans) error {
	body, err := proto.Marshal(&traces.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "roentgen-demo")
	resp, err := u.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return &statusError{status: resp.StatusCode, text: string(bytes.ToValidUTF8(answer, []byte("?")))}
	}
	u.refused = len(answer) > 0 // a partial success
	return nil
}

// export sends spans. It returns how many were refused: all of them, when some were.
func export(ctx context.Context, client *http.Client, target string, spans []sdk.ReadOnlySpan) (refused int, err error) {
	u := &upload{client: client, target: target}
	exporter := otlptrace.NewUnstarted(u)
	if err := exporter.ExportSpans(ctx, spans); err != nil {
		return 0, err
	}
	if u.refused {
		return len(spans), nil
	}
	return 0, nil
}
