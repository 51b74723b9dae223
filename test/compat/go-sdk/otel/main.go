// Command otel is a program that takes its sampling from OpenTelemetry's X-Ray
// remote sampler. It begins and ends spans of the services it is given, over and
// over, until its standard input ends, and sends those that were sampled as X-Ray
// segments to the daemon's port, as a collector would.
//
//	otel HOST:PORT SERVICE...
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/contrib/samplers/aws/xray" //nolint:staticcheck // nobody keeps it any more, but there is no other for Go
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: otel HOST:PORT SERVICE...")
	}
	if err := run(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		log.Fatal("otel: ", err)
	}
}

func run(ctx context.Context, address string, services []string) error {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	var tracers []oteltrace.Tracer
	for _, name := range services {
		sampler, err := xray.NewRemoteSampler(ctx, name, "ec2", xray.WithEndpoint(url.URL{Scheme: "http", Host: address}))
		if err != nil {
			return err
		}
		provider := trace.NewTracerProvider(trace.WithSampler(sampler), trace.WithSyncer(&sender{conn, name}))
		tracers = append(tracers, provider.Tracer("compat"))
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-tick.C:
		}
		for _, tracer := range tracers {
			_, span := tracer.Start(ctx, "request")
			span.End()
		}
	}
}

// sender exports spans as segments.
type sender struct {
	conn    net.Conn
	service string
}

func (s *sender) ExportSpans(_ context.Context, spans []trace.ReadOnlySpan) error {
	for _, span := range spans {
		id := span.SpanContext().TraceID().String()
		document, err := json.Marshal(map[string]any{
			"trace_id": "1-" + id[:8] + "-" + id[8:], "id": span.SpanContext().SpanID().String(), "name": s.service,
			"start_time": seconds(span.StartTime()), "end_time": seconds(span.EndTime()),
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(s.conn, "{\"format\":\"json\",\"version\":1}\n%s", document); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) Shutdown(context.Context) error { return nil }

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
