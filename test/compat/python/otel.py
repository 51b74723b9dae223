"""A program that the OpenTelemetry SDK for Python instruments: see ../go-otel/main.go.

    python otel.py PROTOCOL SERVER [TRACEPARENT]

PROTOCOL is grpc or http/protobuf; "-" for SERVER leaves everything to the variables of OpenTelemetry.
"""

import json
import sys

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator


def exporter(protocol, server):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter() if server == "-" else OTLPSpanExporter(endpoint=server, insecure=True)
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        if server == "-":
            return OTLPSpanExporter()
        return OTLPSpanExporter(endpoint=f"http://{server}/v1/traces", compression=Compression.Gzip)
    raise ValueError(f"unknown protocol {protocol}")


def main(protocol, server, traceparent=""):
    provider = TracerProvider(resource=Resource.create({"service.name": "orders", "service.version": "2.1"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter(protocol, server)))
    tracer = provider.get_tracer("compat")
    parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent} if traceparent else {})
    server_span = tracer.start_span(
        "POST /orders", context=parent, kind=SpanKind.SERVER,
        attributes={
            "http.request.method": "POST", "url.path": "/orders", "url.scheme": "http", "server.address": "orders.example.com",
            "http.response.status_code": 201, "rush": True,
        })
    check = tracer.start_span("check", context=set_span_in_context(server_span))
    try:
        raise KeyError("no such voucher")
    except KeyError as err:
        check.record_exception(err)
        check.set_status(Status(StatusCode.ERROR, "no such voucher"))
    client = tracer.start_span(
        "GET", context=set_span_in_context(check), kind=SpanKind.CLIENT,
        attributes={"http.request.method": "GET", "url.full": "http://stock/items", "server.address": "stock", "http.response.status_code": 200})
    client.end()
    check.end()
    server_span.end()
    provider.shutdown()
    sc = client.get_span_context()
    print(json.dumps({"trace_id": f"{sc.trace_id:032x}", "client": f"{sc.span_id:016x}"}))


main(*sys.argv[1:])
