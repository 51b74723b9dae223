// Package telemetry is how Roentgen shows itself: structured logs, Prometheus
// metrics, health and debug pages.
//
//	/metrics    Prometheus text; our own names begin with roentgen_
//	/-/healthy  200 as long as the process answers at all
//	/-/ready    200 when requests can be served, else 503 with what is missing,
//	            one "component: reason" a line
//	/debug/     index of profiles, configuration, store figures and build,
//	            for callers on this machine only
//
// Nothing here depends on another package of ours. Components get a
// *slog.Logger and a prometheus.Registerer; they log through a Limiter what a
// remote peer can cause again and again.
package telemetry
