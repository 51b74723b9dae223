# The Roentgen server as a container: X-Ray's port 2000, OpenTelemetry's 4317 and 4318,
# the web page on port 2000.
#
#   docker build -f deploy/roentgen.Dockerfile -t roentgen .
#   docker run -p 127.0.0.1:2000:2000/udp -p 127.0.0.1:2000:2000/tcp -p 127.0.0.1:4317:4317 -p 127.0.0.1:4318:4318 -v roentgen:/var/lib/roentgen roentgen serve --insecure
#
# Who reaches the ports may then read and write everything, so publish them to this machine only,
# as above, or give the server a file of keys instead of --insecure (docs/security.md); without
# either it does not start. Settings are ROENTGEN_... variables, or flags behind "serve".
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=container
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/roentgen ./cmd/roentgen \
 && mkdir -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/roentgen /roentgen
COPY --from=build --chown=65532:65532 /out/data /var/lib/roentgen
USER 65532:65532
ENV ROENTGEN_DATA_DIR=/var/lib/roentgen ROENTGEN_LISTEN=0.0.0.0:2000 ROENTGEN_OTLP_GRPC=0.0.0.0:4317 ROENTGEN_OTLP_HTTP=0.0.0.0:4318
VOLUME /var/lib/roentgen
EXPOSE 2000/udp 2000/tcp 4317/tcp 4318/tcp
# The other commands, too: docker exec CONTAINER /roentgen traces
ENTRYPOINT ["/roentgen"]
CMD ["serve"]
# A server that speaks TLS, or listens elsewhere, needs ROENTGEN_ENDPOINT, and ROENTGEN_CA_BUNDLE for a
# certificate that no known authority signed.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/roentgen", "health"]
