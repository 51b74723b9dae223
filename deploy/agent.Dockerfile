# The Roentgen agent as a container that stands where the one of the X-Ray daemon
# stood: same entry point, same ports, same flags behind it.
#
#   docker build -f deploy/agent.Dockerfile -t roentgen-agent .
#   docker run -p 2000:2000/udp -p 2000:2000/tcp -v roentgen-agent:/var/lib/roentgen-agent roentgen-agent -o -n eu-west-1
#
# The volume holds what was not delivered yet; without one it goes with the container.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=container
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/xray ./cmd/roentgen \
 && mkdir -p /out/state

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/xray /xray
COPY --from=build --chown=65532:65532 /out/state /var/lib/roentgen-agent
USER 65532:65532
ENV STATE_DIRECTORY=/var/lib/roentgen-agent
VOLUME /var/lib/roentgen-agent
EXPOSE 2000/udp 2000/tcp
# Called under the name of the daemon's binary the program is the agent.
ENTRYPOINT ["/xray", "-t", "0.0.0.0:2000", "-b", "0.0.0.0:2000"]
# Whoever gives it another port has to give docker run another --health-cmd, too.
HEALTHCHECK --interval=30s --timeout=5s CMD ["/xray", "status", "--endpoint", "http://127.0.0.1:2000", "--json"]
