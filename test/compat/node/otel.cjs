// A program that the OpenTelemetry SDK for Node instruments: see ../go-otel/main.go.
//
//	node otel.cjs PROTOCOL SERVER [TRACEPARENT]
//
// PROTOCOL is grpc, http/protobuf or http/json; "-" for SERVER leaves everything to the variables of
// OpenTelemetry.
const { context, propagation, trace, SpanKind, SpanStatusCode } = require("@opentelemetry/api");
const { NodeTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-node");
const { resourceFromAttributes } = require("@opentelemetry/resources");

const [protocol, server, traceparent] = process.argv.slice(2);

function exporter() {
  switch (protocol) {
    case "grpc": {
      const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-grpc");
      return new OTLPTraceExporter(server === "-" ? {} : { url: `http://${server}` });
    }
    case "http/protobuf": {
      const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-proto");
      return new OTLPTraceExporter(server === "-" ? {} : { url: `http://${server}/v1/traces`, compression: "gzip" });
    }
    case "http/json": {
      const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
      return new OTLPTraceExporter(server === "-" ? {} : { url: `http://${server}/v1/traces` });
    }
  }
  throw new Error(`unknown protocol ${protocol}`);
}

async function main() {
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": "orders", "service.version": "2.1", "telemetry.sdk.language": "nodejs" }),
    spanProcessors: [new SimpleSpanProcessor(exporter())],
  });
  provider.register();
  const tracer = trace.getTracer("compat");
  const parent = propagation.extract(context.active(), traceparent ? { traceparent } : {});
  const serverSpan = tracer.startSpan("POST /orders", {
    kind: SpanKind.SERVER,
    attributes: {
      "http.request.method": "POST", "url.path": "/orders", "url.scheme": "http", "server.address": "orders.example.com",
      "http.response.status_code": 201, rush: true,
    },
  }, parent);
  const inServer = trace.setSpan(parent, serverSpan);
  const check = tracer.startSpan("check", {}, inServer);
  check.recordException(new Error("no such voucher"));
  check.setStatus({ code: SpanStatusCode.ERROR, message: "no such voucher" });
  const client = tracer.startSpan("GET", {
    kind: SpanKind.CLIENT,
    attributes: { "http.request.method": "GET", "url.full": "http://stock/items", "server.address": "stock", "http.response.status_code": 200 },
  }, trace.setSpan(inServer, check));
  client.end();
  check.end();
  serverSpan.end();
  await provider.shutdown();
  const sc = client.spanContext();
  console.log(JSON.stringify({ trace_id: sc.traceId, client: sc.spanId }));
}

main().catch((err) => { console.error(err); process.exit(1); });
