import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.IOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A program that the OpenTelemetry SDK for Java instruments: see ../go-otel/main.go.
 *
 * <pre>java Otel.java PROTOCOL SERVER [TRACEPARENT]</pre>
 *
 * PROTOCOL is grpc or http/protobuf. "-" for SERVER takes what OpenTelemetry's variables say, as its
 * agent and its automatic configuration do.
 */
public class Otel {
    /** The exporter that the variables ask for. */
    private static SpanExporter fromVariables(String protocol) throws IOException {
        String endpoint = System.getenv("OTEL_EXPORTER_OTLP_ENDPOINT");
        byte[] authority = Files.readAllBytes(Path.of(System.getenv("OTEL_EXPORTER_OTLP_CERTIFICATE")));
        String[] header = System.getenv("OTEL_EXPORTER_OTLP_HEADERS").split("=", 2);
        String value = URLDecoder.decode(header[1], StandardCharsets.UTF_8);
        return switch (protocol) {
            case "grpc" -> OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setTrustedCertificates(authority).addHeader(header[0], value).build();
            default -> OtlpHttpSpanExporter.builder().setEndpoint(endpoint + "/v1/traces").setTrustedCertificates(authority).addHeader(header[0], value).build();
        };
    }

    public static void main(String[] args) throws IOException {
        SpanExporter exporter = args[1].equals("-") ? fromVariables(args[0]) : switch (args[0]) {
            case "grpc" -> OtlpGrpcSpanExporter.builder().setEndpoint("http://" + args[1]).build();
            case "http/protobuf" -> OtlpHttpSpanExporter.builder().setEndpoint("http://" + args[1] + "/v1/traces").setCompression("gzip").build();
            default -> throw new IllegalArgumentException("unknown protocol " + args[0]);
        };
        SdkTracerProvider provider = SdkTracerProvider.builder()
            .setResource(Resource.getDefault().merge(Resource.create(Attributes.builder()
                .put("service.name", "orders").put("service.version", "2.1").build())))
            .addSpanProcessor(SimpleSpanProcessor.create(exporter))
            .build();
        Tracer tracer = provider.get("compat");
        Map<String, String> headers = args.length > 2 ? Map.of("traceparent", args[2]) : Map.of();
        Context parent = W3CTraceContextPropagator.getInstance().extract(Context.root(), headers, new TextMapGetter<Map<String, String>>() {
            @Override public Iterable<String> keys(Map<String, String> carrier) { return carrier.keySet(); }
            @Override public String get(Map<String, String> carrier, String key) { return carrier.get(key); }
        });
        Span server = tracer.spanBuilder("POST /orders").setParent(parent).setSpanKind(SpanKind.SERVER)
            .setAttribute("http.request.method", "POST").setAttribute("url.path", "/orders").setAttribute("url.scheme", "http")
            .setAttribute("server.address", "orders.example.com").setAttribute("http.response.status_code", 201)
            .setAttribute("rush", true).startSpan();
        Context inServer = parent.with(server);
        Span check = tracer.spanBuilder("check").setParent(inServer).startSpan();
        check.recordException(new IllegalStateException("no such voucher"));
        check.setStatus(StatusCode.ERROR, "no such voucher");
        Span client = tracer.spanBuilder("GET").setParent(inServer.with(check)).setSpanKind(SpanKind.CLIENT)
            .setAttribute("http.request.method", "GET").setAttribute("url.full", "http://stock/items")
            .setAttribute("server.address", "stock").setAttribute("http.response.status_code", 200).startSpan();
        client.end();
        check.end();
        server.end();
        provider.shutdown().join(20, TimeUnit.SECONDS);
        SpanContext sc = client.getSpanContext();
        System.out.println("{\"trace_id\":\"" + sc.getTraceId() + "\",\"client\":\"" + sc.getSpanId() + "\"}");
    }
}
