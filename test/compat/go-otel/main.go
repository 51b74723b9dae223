// Command go-otel is a program that the OpenTelemetry SDK for Go instruments. It
// does one piece of work of the service orders, sends its spans and says which:
//
//	go-otel PROTOCOL SERVER [TRACEPARENT]
//
// PROTOCOL is grpc, http/protobuf, grpc+gzip or http/protobuf+sigv4, which signs each request
// with the credentials in the AWS variables. SERVER is a host:port; "-" leaves everything to
// the variables of OpenTelemetry.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: go-otel PROTOCOL SERVER [TRACEPARENT]")
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], append(os.Args, "")[3]); err != nil {
		log.Fatal("go-otel: ", err)
	}
}

func run(ctx context.Context, protocol, server, traceparent string) error {
	var exporter *otlptrace.Exporter
	var err error
	overGRPC := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(server), otlptracegrpc.WithInsecure()}
	overHTTP := []otlptracehttp.Option{otlptracehttp.WithEndpoint(server), otlptracehttp.WithInsecure()}
	if server == "-" {
		overGRPC, overHTTP = nil, nil
	}
	switch protocol {
	case "grpc":
		exporter, err = otlptracegrpc.New(ctx, overGRPC...)
	case "grpc+gzip":
		exporter, err = otlptracegrpc.New(ctx, append(overGRPC, otlptracegrpc.WithCompressor("gzip"))...)
	case "http/protobuf":
		exporter, err = otlptracehttp.New(ctx, append(overHTTP, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))...)
	case "http/protobuf+sigv4":
		var client *http.Client
		if client, err = signingClient(os.Getenv("OTEL_EXPORTER_OTLP_CERTIFICATE")); err != nil {
			return err
		}
		exporter, err = otlptracehttp.New(ctx, append(overHTTP, otlptracehttp.WithHTTPClient(client))...)
	default:
		return fmt.Errorf("unknown protocol %s", protocol)
	}
	if err != nil {
		return err
	}
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter), sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", "orders"), attribute.String("service.version", "2.1"), attribute.String("telemetry.sdk.language", "go"))))
	tracer := provider.Tracer("compat")
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})

	ctx, serverSpan := tracer.Start(ctx, "POST /orders", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", "POST"), attribute.String("url.path", "/orders"), attribute.String("url.scheme", "http"),
		attribute.String("server.address", "orders.example.com"), attribute.Int("http.response.status_code", 201), attribute.Bool("rush", true)))
	ctx, check := tracer.Start(ctx, "check")
	check.RecordError(errors.New("no such voucher"), trace.WithStackTrace(true))
	check.SetStatus(codes.Error, "no such voucher")
	_, client := tracer.Start(ctx, "GET", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", "GET"), attribute.String("url.full", "http://stock/items"), attribute.String("server.address", "stock"),
		attribute.Int("http.response.status_code", 200)))
	client.End()
	check.End()
	serverSpan.End()
	if err := provider.Shutdown(ctx); err != nil {
		return err
	}
	sc := client.SpanContext()
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"trace_id": sc.TraceID().String(), "client": sc.SpanID().String()})
}
