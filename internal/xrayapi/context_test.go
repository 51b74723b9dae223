package xrayapi

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestCallContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, leave := context.WithCancel(context.Background())
		r := httptest.NewRequest("POST", "/TraceSummaries", nil).WithContext(client)
		begun := time.Now()
		ctx, cancel := CallContext(r, time.Minute)
		defer cancel()
		time.Sleep(10 * time.Second)
		leave()
		<-ctx.Done()
		if took := time.Since(begun); took != 10*time.Second+lingerTime || !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("ended after %v with %v", took, ctx.Err())
		}
		// Whoever stays gets all the time there is.
		ctx, cancel = CallContext(httptest.NewRequest("POST", "/", nil), time.Minute)
		defer cancel()
		begun = time.Now()
		<-ctx.Done()
		if took := time.Since(begun); took != time.Minute || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("ended after %v with %v", took, ctx.Err())
		}
		// A call that is over leaves nothing behind: synctest would tell.
		_, cancel = CallContext(r, time.Hour)
		cancel()
	})
}
