package xrayapi

import (
	"context"
	"net/http"
	"time"
)

// lingerTime is how long the work of a call goes on after its client has ended
// its side of the connection. A client that only closed its half waits for the
// answer, and nothing tells it from one that is gone; answers that take longer
// are cut into pages anyway.
const lingerTime = 5 * time.Second

// CallContext returns the context of a call that reads: it ends after timeout,
// or some seconds after the client has ended its side of the connection.
func CallContext(r *http.Request, timeout time.Duration) (context.Context, context.CancelFunc) {
	return callContext(r, timeout, lingerTime)
}

func callContext(r *http.Request, timeout, linger time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), timeout)
	stop := context.AfterFunc(r.Context(), func() {
		t := time.NewTimer(linger)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		stop()
		cancel()
	}
}
