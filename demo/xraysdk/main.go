// Command xraysdk is the part of the demo shop that is really instrumented: its
// stock room, made with the official AWS X-Ray SDK for Go, unmodified. Four
// programs in one process talk to each other over HTTP on loopback:
//
//	stock-keeper   wakes up, opens a segment and asks inventory about an article
//	inventory      looks into an SQL database and a DynamoDB table, asks pricing
//	pricing        computes a price in nested subsegments, asks a host outside
//	(stubs)        stand for DynamoDB, the database and the outside host
//
// Their segments go where the SDK sends them by default, to UDP 127.0.0.1:2000,
// or to AWS_XRAY_DAEMON_ADDRESS. It is a module of its own so that the SDK's
// dependencies stay out of Roentgen's.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-xray-sdk-go/strategy/ctxmissing"
	"github.com/aws/aws-xray-sdk-go/strategy/sampling"
	"github.com/aws/aws-xray-sdk-go/xray"
	"github.com/aws/aws-xray-sdk-go/xraylog"
)

func main() {
	// roentgen demo --with says so when it is the one that started us.
	shopSeed, err := strconv.ParseUint(os.Getenv("ROENTGEN_DEMO_SEED"), 10, 64)
	inShop := err == nil
	if !inShop {
		shopSeed = 1
	}
	var (
		rate     = flag.Float64("rate", 2, "rounds of the stock keeper per second")
		seed     = flag.Uint64("seed", shopSeed, "what the rounds ask for and what fails; times and ids are real")
		duration = flag.Duration("duration", 0, "end after this time; 0 runs until interrupted")
		rules    = flag.String("sampling", "all", "all: trace every round; central: ask the daemon address for sampling rules, as the SDK does by default")
		stdin    = flag.Bool("while-stdin", inShop, "end when standard input does, so that the program ends with the one that started it")
		verbose  = flag.Bool("v", false, "show what the SDK logs")
	)
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "xraysdk: services instrumented with the AWS X-Ray SDK for Go %s\n\n"+
			"Sends to UDP 127.0.0.1:2000, or to AWS_XRAY_DAEMON_ADDRESS.\n\n", xray.SDKVersion)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "xraysdk: unexpected argument %q; see -help\n", flag.Arg(0))
		os.Exit(2)
	}
	if !(*rate > 0 && *rate <= 1000) {
		fmt.Fprintln(os.Stderr, "xraysdk: -rate must be above 0 and at most 1000")
		os.Exit(2)
	}
	if err := configure(*rules, *verbose); err != nil {
		fmt.Fprintf(os.Stderr, "xraysdk: %v\n", err)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *duration)
		defer cancel()
	}
	if *stdin {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	rounds, err := run(ctx, *rate, *seed)
	if err != nil {
		fmt.Fprintf(os.Stderr, "xraysdk: %v\n", err)
		os.Exit(1)
	}
	if !inShop { // the shop tells its own end
		fmt.Fprintf(os.Stderr, "xraysdk: ended after %d rounds\n", rounds)
	}
}

// configure sets the SDK up: which requests it samples and whether it logs.
func configure(rules string, verbose bool) error {
	xray.SetLogger(xraylog.NullLogger)
	if verbose {
		xray.SetLogger(xraylog.NewDefaultLogger(os.Stderr, xraylog.LogLevelInfo))
	}
	cfg := xray.Config{ServiceVersion: "3.2.0", ContextMissingStrategy: ctxmissing.NewDefaultIgnoreErrorStrategy()}
	switch rules {
	case "central":
	case "all":
		every, err := sampling.NewLocalizedStrategyFromJSONBytes([]byte(`{"version":2,"rules":[],"default":{"fixed_target":1,"rate":1}}`))
		if err != nil {
			return err
		}
		cfg.SamplingStrategy = every
	default:
		return fmt.Errorf("-sampling %q is neither all nor central", rules)
	}
	return xray.Configure(cfg)
}

// run plays the stock room until ctx is done and returns the number of rounds.
func run(ctx context.Context, rate float64, seed uint64) (rounds int, err error) {
	room, err := openStockRoom()
	if err != nil {
		return 0, err
	}
	defer room.close()
	dice := newDice(seed)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Now(); ; {
		select {
		case <-ctx.Done():
			return rounds, nil
		case <-timer.C:
		}
		rounds++
		room.round(ctx, dice.roll())
		due = due.Add(time.Duration(dice.ExpFloat64() / rate * float64(time.Second)))
		if late := time.Since(due); late > 5*time.Second {
			due = time.Now() // the machine slept
		}
		timer.Reset(max(time.Until(due), 0))
	}
}
