// Command go-sdk is a program as its users write them, instrumented with the
// official AWS X-Ray SDK for Go. It does one thing after the other, each a
// scenario with a trace of its own, and prints a line of JSON for each:
// {"scenario":"nested","trace_id":"1-..."}. The SDK is unmodified and finds the
// daemon as it does everywhere: AWS_XRAY_DAEMON_ADDRESS, else 127.0.0.1:2000.
//
//	go-sdk SCENARIO...
//	go-sdk sampling NAME...
//
// The second form begins and ends segments with the names it is given, over and
// over, until its standard input ends.
//
// STUB names the server that answers its outgoing calls. SAMPLE_ALL=1 replaces
// the SDK's sampling, one trace a second, by a local rule that takes all.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-xray-sdk-go/header"
	"github.com/aws/aws-xray-sdk-go/instrumentation/awsv2"
	"github.com/aws/aws-xray-sdk-go/strategy/sampling"
	"github.com/aws/aws-xray-sdk-go/xray"
)

// scenarios maps a name to what it does inside a segment of its own.
var scenarios = map[string]func(context.Context, *xray.Segment) error{
	"nested":      nested,
	"values":      values,
	"exception":   exception,
	"flags":       flags,
	"http-client": httpClient,
	"http-server": httpServer,
	"sql":         sqlQueries,
	"aws":         awsCalls,
	"streaming":   streaming,
	"cancelled":   cancelled,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "go-sdk:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	if os.Getenv("SAMPLE_ALL") == "1" {
		strategy, err := sampling.NewLocalizedStrategyFromJSONBytes([]byte(`{"version":2,"default":{"fixed_target":1000,"rate":1},"rules":[]}`))
		if err != nil {
			return err
		}
		if err := xray.Configure(xray.Config{ServiceVersion: "4.2.0", SamplingStrategy: strategy}); err != nil {
			return err
		}
	}
	if len(names) > 0 && names[0] == "sampling" {
		return decide(names[1:])
	}
	for _, name := range names {
		if name == "lambda" {
			if err := lambda(); err != nil {
				return err
			}
			continue
		}
		if name == "ruled" {
			if err := ruled(); err != nil {
				return err
			}
			continue
		}
		do, ok := scenarios[name]
		if !ok {
			return fmt.Errorf("no scenario %q", name)
		}
		ctx, seg := xray.BeginSegment(context.Background(), "orders-"+name)
		if !seg.Sampled {
			return fmt.Errorf("%s: the SDK chose not to sample", name)
		}
		id := seg.TraceID
		err := do(ctx, seg)
		if name != "cancelled" {
			seg.Close(nil)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := report(name, id); err != nil {
			return err
		}
	}
	return nil
}

func report(scenario, traceID string) error {
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"scenario": scenario, "trace_id": traceID})
}

// nested is three levels of local work, the innermost beside a sibling.
func nested(ctx context.Context, seg *xray.Segment) error {
	seg.Lock()
	seg.User = "mara"
	seg.Unlock()
	return xray.Capture(ctx, "validate", func(ctx context.Context) error {
		return xray.Capture(ctx, "load basket", func(ctx context.Context) error {
			if err := xray.Capture(ctx, "price", func(context.Context) error {
				time.Sleep(2 * time.Millisecond)
				return nil
			}); err != nil {
				return err
			}
			return xray.Capture(ctx, "discount", func(context.Context) error { return nil })
		})
	})
}

// values is an annotation of each type, and metadata of many shapes.
func values(ctx context.Context, seg *xray.Segment) error {
	for key, value := range map[string]any{
		"tier": "gold", "empty": "", "items": 3, "negative": -7, "big": 9007199254740993,
		"total": 129.95, "tiny": 1e-9, "gift": true, "express": false, "word": "Größe ✓",
	} {
		if err := xray.AddAnnotation(ctx, key, value); err != nil {
			return err
		}
	}
	if err := xray.AddMetadata(ctx, "basket", map[string]any{
		"lines": []any{map[string]any{"sku": "A-1", "n": 2}, map[string]any{"sku": "B-7", "n": 1}},
		"note":  nil, "quote": `say "hi" <b>&`, "tab": "a\tb\n",
	}); err != nil {
		return err
	}
	if err := xray.AddMetadataToNamespace(ctx, "audit", "steps", []string{"open", "pay", "ship"}); err != nil {
		return err
	}
	return xray.Capture(ctx, "inner", func(ctx context.Context) error {
		return xray.AddAnnotation(ctx, "inner_only", "yes")
	})
}

type stockError struct{ SKU string }

func (e *stockError) Error() string { return "out of stock: " + e.SKU }

// exception is an error that travels up through two subsegments, and a panic.
func exception(ctx context.Context, seg *xray.Segment) error {
	err := xray.Capture(ctx, "reserve", func(ctx context.Context) error {
		return xray.Capture(ctx, "warehouse", func(context.Context) error {
			return &stockError{SKU: "A-1"}
		})
	})
	var stock *stockError
	if !errors.As(err, &stock) {
		return fmt.Errorf("got %v, want the stock error", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = xray.Capture(ctx, "crash", func(context.Context) error { panic("index out of range") })
	}()
	return xray.AddError(ctx, errors.New("order refused"))
}

// flags sets each of the three flags by hand.
func flags(ctx context.Context, _ *xray.Segment) error {
	for _, name := range []string{"error", "throttle", "fault", "none"} {
		_, sub := xray.BeginSubsegment(ctx, name)
		sub.Lock()
		switch name {
		case "error":
			sub.Error = true
		case "throttle":
			sub.Error, sub.Throttle = true, true
		case "fault":
			sub.Fault = true
		}
		sub.Unlock()
		sub.Close(nil)
	}
	return nil
}

// httpClient calls the stub, which answers with the status that is asked for,
// and an address where nobody listens.
func httpClient(ctx context.Context, _ *xray.Segment) error {
	client := newClient()
	for _, status := range []int{200, 404, 429, 500} {
		if err := get(ctx, client, fmt.Sprintf("%s/status/%d?q=1", os.Getenv("STUB"), status)); err != nil {
			return err
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := closed.Addr().String()
	closed.Close()
	if err := get(ctx, client, "http://"+addr+"/refused"); err == nil {
		return errors.New("a call to a closed port succeeded")
	}
	return nil
}

// newClient returns a traced client that makes a connection for each call, so
// that every run has the same subsegments.
func newClient() *http.Client {
	return xray.Client(&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// httpServer calls a service of its own, instrumented by the SDK's middleware,
// over a traced client: two services in one trace.
func httpServer(ctx context.Context, _ *xray.Segment) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/stock/A-1", func(w http.ResponseWriter, r *http.Request) {
		_ = xray.Capture(r.Context(), "count", func(context.Context) error { return nil })
		io.WriteString(w, `{"sku":"A-1","left":4}`)
	})
	mux.HandleFunc("/stock/broken", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "broken", http.StatusServiceUnavailable)
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: xray.Handler(xray.NewFixedSegmentNamer("stock"), mux), ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	client := newClient()
	for _, path := range []string{"/stock/A-1", "/stock/broken"} {
		if err := get(ctx, client, "http://"+ln.Addr().String()+path); err != nil {
			return err
		}
	}
	if err := srv.Shutdown(ctx); err != nil {
		return err
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// sqlQueries runs a query and a failing statement through the SDK's wrapper of
// database/sql, over a driver that only pretends.
func sqlQueries(ctx context.Context, _ *xray.Segment) error {
	db, err := xray.SQLContext("pretend", "postgres://shop:secret@db.example:5432/orders")
	if err != nil {
		return err
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM orders WHERE tier = ?", "gold").Scan(&n); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "UPDATE locked SET n = ? WHERE id = ?", 1, 2); err == nil {
		return errors.New("the failing statement succeeded")
	}
	return nil
}

// awsCalls uses the AWS SDK against the stub: a call that works and one that
// is throttled.
func awsCalls(ctx context.Context, _ *xray.Segment) error {
	cfg := aws.Config{
		Region:           "eu-west-1",
		Credentials:      credentials.NewStaticCredentialsProvider("test", "test", ""),
		BaseEndpoint:     aws.String(os.Getenv("STUB")),
		RetryMaxAttempts: 1,
	}
	awsv2.AWSV2Instrumentor(&cfg.APIOptions)
	client := dynamodb.NewFromConfig(cfg)
	if _, err := client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String("orders"),
		Key:       map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "1"}},
	}); err != nil {
		return err
	}
	_, err := client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String("busy"),
		Key:       map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "1"}},
	})
	var busy *types.ProvisionedThroughputExceededException
	if !errors.As(err, &busy) {
		return fmt.Errorf("the busy table answered %v", err)
	}
	return nil
}

// streaming makes more subsegments than the SDK keeps, so that it sends some as
// documents of their own before their parents end.
func streaming(ctx context.Context, _ *xray.Segment) error {
	return xray.Capture(ctx, "batch", func(ctx context.Context) error {
		for i := range 45 {
			if err := xray.Capture(ctx, fmt.Sprintf("row %02d", i), func(ctx context.Context) error {
				return xray.AddAnnotation(ctx, "row", i)
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// cancelled ends its segment by its context while a subsegment is open: the SDK
// sends the segment as it is, in progress.
func cancelled(ctx context.Context, seg *xray.Segment) error {
	_, sub := xray.BeginSubsegment(ctx, "never finished in time")
	seg.Close(nil)
	time.Sleep(5 * time.Millisecond)
	sub.Close(nil)
	return nil
}

// lambda does what the SDK does inside AWS Lambda, where the platform owns the
// segment: every subsegment goes out as a document of its own.
func lambda() error {
	h := header.FromString(os.Getenv("_X_AMZN_TRACE_ID"))
	//nolint:staticcheck // the SDK looks for this very key, a string
	ctx := context.WithValue(context.Background(), "x-amzn-trace-id", os.Getenv("_X_AMZN_TRACE_ID"))
	err := xray.Capture(ctx, "handler", func(ctx context.Context) error {
		if err := xray.AddAnnotation(ctx, "cold", true); err != nil {
			return err
		}
		return xray.Capture(ctx, "inner", func(context.Context) error { return nil })
	})
	if err != nil {
		return err
	}
	return report("lambda", h.TraceID)
}

// ruled waits until the SDK samples by the rules that it fetched from the
// server, and reports the first trace that it took for one of them.
func ruled() error {
	for range 20 {
		_, seg := xray.BeginSegment(context.Background(), "orders-ruled")
		rule := ""
		if sdk, ok := seg.GetAWS()["xray"].(xray.SDK); ok {
			rule = sdk.RuleName
		}
		id, sampled := seg.TraceID, seg.Sampled
		seg.Close(nil)
		if sampled && rule != "" {
			return report("ruled", id)
		}
		time.Sleep(500 * time.Millisecond)
	}
	return errors.New("ruled: the SDK took no trace for a rule of the server")
}

// decide begins and ends segments until standard input ends. The SDK decides which
// of them it sends.
func decide(names []string) error {
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
		for _, name := range names {
			_, seg := xray.BeginSegment(context.Background(), name)
			seg.Close(nil)
		}
	}
}
