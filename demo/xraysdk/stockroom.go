package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-xray-sdk-go/xray"
)

// throw is what the dice decided about one round.
type throw struct {
	article  string
	quantity int
	keeper   string
	mishap   string // "", or what goes wrong
}

type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 0x73746f636b))} }

var (
	articles = []string{"oak-desk", "walnut-shelf", "linen-throw", "brass-lamp", "stone-mug", "wool-rug", "copper-kettle", "ash-stool"}
	keepers  = []string{"ada.holm", "bruno.velasco", "carmen.oyelaran"}
	mishaps  = []string{"unknown article", "table throttled", "price overflow", "exchange down", "database gone", "pricing busy"}
)

func (d dice) roll() throw {
	t := throw{article: articles[d.IntN(len(articles))], quantity: 1 + d.IntN(40), keeper: keepers[d.IntN(len(keepers))]}
	if d.Float64() < 0.09 {
		t.mishap = mishaps[d.IntN(len(mishaps))]
	}
	return t
}

// The services find each other by these names, which lead to loopback.
const (
	inventoryHost = "inventory.shop.internal"
	pricingHost   = "pricing.shop.internal"
	exchangeHost  = "rates.exchange.example"
	dynamoHost    = "dynamodb.eu-west-1.amazonaws.com"
)

// stockRoom is the services and what they need.
type stockRoom struct {
	servers []*http.Server
	serving sync.WaitGroup
	rounds  sync.WaitGroup
	slots   chan struct{} // rounds under way
	address map[string]string
	plain   *http.Transport
	client  *http.Client // traced
	db      *sql.DB
	dynamo  *dynamodb.DynamoDB
}

func openStockRoom() (*stockRoom, error) {
	r := &stockRoom{address: map[string]string{}, slots: make(chan struct{}, 64)}
	r.plain = &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			to, ok := r.address[host]
			if !ok {
				return nil, fmt.Errorf("no such host: %s", host)
			}
			var d net.Dialer
			return d.DialContext(ctx, network, to)
		},
	}
	r.client = xray.Client(&http.Client{Transport: r.plain, Timeout: 5 * time.Second})

	db, err := xray.SQLContext("postgres", "postgres://inventory:secret@stock-db.internal:5432/stock?sslmode=require")
	if err != nil {
		return nil, err
	}
	r.db = db
	s, err := session.NewSession(&aws.Config{
		Region:                  aws.String("eu-west-1"),
		Endpoint:                aws.String("http://" + dynamoHost),
		Credentials:             credentials.NewStaticCredentials("demo", "demo", ""),
		HTTPClient:              &http.Client{Transport: r.plain},
		DisableComputeChecksums: aws.Bool(true),
		MaxRetries:              aws.Int(1),
	})
	if err != nil {
		return nil, err
	}
	r.dynamo = dynamodb.New(s)
	xray.AWS(r.dynamo.Client)

	for host, handler := range map[string]http.Handler{
		inventoryHost: xray.Handler(xray.NewFixedSegmentNamer("inventory"), http.HandlerFunc(r.inventory)),
		pricingHost:   xray.Handler(xray.NewFixedSegmentNamer("pricing"), http.HandlerFunc(r.pricing)),
		exchangeHost:  http.HandlerFunc(exchange),
		dynamoHost:    http.HandlerFunc(table),
	} {
		if err := r.serve(host, handler); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

func (r *stockRoom) serve(host string, handler http.Handler) error {
	var c net.ListenConfig
	l, err := c.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.address[host] = l.Addr().String()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	r.servers = append(r.servers, server)
	r.serving.Go(func() { _ = server.Serve(l) })
	return nil
}

// close waits for the rounds under way and stops the services.
func (r *stockRoom) close() {
	r.rounds.Wait()
	r.plain.CloseIdleConnections()
	for _, s := range r.servers {
		_ = s.Close()
	}
	r.serving.Wait()
	if r.db != nil {
		_ = r.db.Close()
	}
}

// round is one walk of the stock keeper, a trace of its own. It goes on while
// the next begins; when too many are under way it is left out.
func (r *stockRoom) round(ctx context.Context, t throw) {
	select {
	case r.slots <- struct{}{}:
	default:
		return
	}
	// The SDK ends a segment early when its context does; a round that began
	// before the end of the program is finished all the same.
	ctx = context.WithoutCancel(ctx)
	r.rounds.Go(func() {
		defer func() { <-r.slots }()
		ctx, seg := xray.BeginSegment(ctx, "stock-keeper")
		seg.Lock()
		seg.User = t.keeper
		seg.Unlock()
		note(ctx, "article", t.article)
		note(ctx, "quantity", t.quantity)
		_ = xray.AddMetadataToNamespace(ctx, "stock", "round", map[string]any{"article": t.article, "shelf": len(t.article), "planned": true})
		err := r.check(ctx, t)
		seg.Close(err)
	})
}

func (r *stockRoom) check(ctx context.Context, t throw) error {
	target := url.URL{Scheme: "http", Host: inventoryHost, Path: "/stock/" + t.article, RawQuery: "quantity=" + strconv.Itoa(t.quantity)}
	return r.get(ctx, target.String(), t.mishap, nil)
}

// answerError is an answer of another service that is no success.
type answerError struct {
	url    string
	status int
}

func (e *answerError) Error() string { return fmt.Sprintf("GET %s: status %d", e.url, e.status) }

// get asks another service. What is to go wrong travels along in a header.
func (r *stockRoom) get(ctx context.Context, target, mishap string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "shop-stock/3.2")
	req.Header.Set("X-Mishap", mishap)
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 500 {
		return &answerError{url: target, status: resp.StatusCode}
	}
	if into != nil && resp.StatusCode == http.StatusOK {
		return json.NewDecoder(resp.Body).Decode(into)
	}
	return nil
}

// inventory answers how much of an article there is and what it costs.
func (r *stockRoom) inventory(w http.ResponseWriter, req *http.Request) {
	ctx, mishap := req.Context(), req.Header.Get("X-Mishap")
	article := req.URL.Path[len("/stock/"):]
	note(ctx, "article", article)
	if mishap == "unknown article" {
		http.Error(w, "no such article", http.StatusNotFound)
		return
	}
	var onShelf int
	err := xray.Capture(ctx, "count shelf", func(ctx context.Context) error {
		if mishap == "database gone" {
			ctx = context.WithValue(ctx, failQuery{}, true)
		}
		return r.db.QueryRowContext(ctx, "SELECT sum(quantity) FROM shelf WHERE article = $1", article).Scan(&onShelf)
	})
	if err != nil {
		http.Error(w, "the shelf cannot be counted", http.StatusInternalServerError)
		return
	}
	note(ctx, "on_shelf", onShelf)

	name := "reservations"
	if mishap == "table throttled" {
		name = "reservations-throttled"
	}
	_, err = r.dynamo.GetItemWithContext(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(name), ConsistentRead: aws.Bool(true),
		Key: map[string]*dynamodb.AttributeValue{"article": {S: aws.String(article)}},
	})
	if err != nil {
		http.Error(w, "come back later", http.StatusTooManyRequests)
		return
	}
	var price struct{ Net float64 }
	if err := r.get(ctx, "http://"+pricingHost+"/prices/"+article, mishap, &price); err != nil {
		_ = xray.AddError(ctx, err)
		http.Error(w, "no price", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"article":%q,"on_shelf":%d,"net":%g}`, article, onShelf, price.Net)
}

var errOverflow = errors.New("price has more digits than the ledger takes")

// pricing computes a price.
func (r *stockRoom) pricing(w http.ResponseWriter, req *http.Request) {
	ctx, mishap := req.Context(), req.Header.Get("X-Mishap")
	if mishap == "pricing busy" {
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	var net float64
	err := xray.Capture(ctx, "price", func(ctx context.Context) error {
		note(ctx, "list", "2026-autumn")
		var rate struct{ EUR float64 }
		target := "http://" + exchangeHost + "/latest?base=SEK"
		if mishap == "exchange down" {
			target = "http://" + exchangeHost + "/down"
		}
		if err := r.get(ctx, target, "", &rate); err != nil {
			return fmt.Errorf("exchange rate: %w", err)
		}
		return xray.Capture(ctx, "discounts", func(ctx context.Context) error {
			pause(4)
			return xray.Capture(ctx, "round", func(ctx context.Context) error {
				_ = xray.AddMetadata(ctx, "rule", map[string]any{"to": 0.05, "mode": "half-even"})
				if mishap == "price overflow" {
					return errOverflow
				}
				net = 120 * rate.EUR
				return nil
			})
		})
	})
	if err != nil {
		http.Error(w, "no price: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"Net":%g}`, net)
}

// note adds an annotation. It can only fail where there is no segment, and there
// is nothing to annotate then.
func note(ctx context.Context, key string, value any) { _ = xray.AddAnnotation(ctx, key, value) }

// pause takes a few milliseconds, now and then many.
func pause(millis float64) {
	d := millis * (0.5 + rand.ExpFloat64())
	time.Sleep(time.Duration(min(d, 40*millis) * float64(time.Millisecond)))
}
