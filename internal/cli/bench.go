package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/internal/bench"
	"github.com/roentgen-io/roentgen/internal/tracestore/pebblestore"
)

func newBenchCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Make load and measure a server",
		Long: `Make load and measure what a server does with it.

"ingest", "read" and "search" work on any running server; "suite" starts servers of its own
on free loopback ports and measures the whole matrix, each case beside a server
that only reads and discards the same bodies. What the figures mean and how to
repeat them is in test/bench/README.md.`,
		Example: `  roentgen bench ingest --duration 10s
  roentgen bench suite --duration 10s > figures.md`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchIngestCommand(env), newBenchReadCommand(env), newBenchSearchCommand(env), newBenchSinkCommand(env), newBenchSuiteCommand(env), newBenchAgentCommand(env), newBenchDiskCommand(env))
	return cmd
}

func newBenchIngestCommand(env *Env) *cobra.Command {
	var l bench.Load
	var pid, keep int
	var idFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Send documents and measure how fast they are acknowledged",
		Example: `  roentgen bench ingest --size 1000 --batch 50 --clients 8 --duration 10s
  roentgen bench ingest --udp --size 600 --documents 50000 --rate 100000
  roentgen bench ingest --documents 1000000 --ids ids.txt --pid $(pidof roentgen)`,
		Args: noArgs,
	}
	f := cmd.Flags()
	endpoint := endpointFlag(f, env)
	f.BoolVar(&l.UDP, "udp", false, "send datagrams instead of PutTraceSegments")
	f.BoolVar(&l.OTLP, "otlp", false, "send OpenTelemetry spans, ten a trace, instead of segment documents")
	f.IntVar(&l.Size, "size", 1000, "bytes of a document, about")
	f.IntVar(&l.Batch, "batch", 50, "documents in one call")
	f.IntVar(&l.Clients, "clients", 8, "connections that send at once")
	f.IntVar(&l.Documents, "documents", 0, "stop after so many documents")
	f.DurationVar(&l.Duration, "duration", 0, "stop after this time (default 10s without --documents)")
	f.IntVar(&l.Rate, "rate", 0, "documents per second over all clients (0: as fast as they are taken)")
	f.Uint64Var(&l.Seed, "seed", 1, "seed of the documents' contents")
	f.BoolVar(&l.Rare, "rare", false, "mix in the rare traces that bench search looks for")
	f.DurationVar(&l.Spread, "spread", 0, "import the documents as history over so much time up to now")
	f.IntVar(&pid, "pid", 0, "process of the server, to measure its CPU time and memory")
	f.StringVar(&idFile, "ids", "", "write some of the trace ids to this file, for bench read")
	f.IntVar(&keep, "keep-ids", 10000, "how many ids --ids writes, about")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		l.Endpoint, l.Wrap = c.endpoint, c.wrap
		if l.Documents == 0 && l.Duration == 0 {
			l.Duration = 10 * time.Second
		}
		if l.Batch < 1 || l.Clients < 1 || l.Size < 1 {
			return &exitError{2, fmt.Errorf("--size, --batch and --clients must be at least 1")}
		}
		if idFile != "" {
			l.KeepIDs = keep
		}
		var before time.Duration
		if pid != 0 {
			if before, err = bench.CPU(pid); err != nil {
				return err
			}
			bench.ResetPeak(pid)
		}
		r, err := bench.Run(cmd.Context(), l)
		if err != nil {
			return err
		}
		out := map[string]any{
			"documents": r.Documents, "seconds": r.Elapsed.Seconds(), "documents_per_second": r.PerSecond(),
			"p50_ms": r.P50.Seconds() * 1e3, "p99_ms": r.P99.Seconds() * 1e3, "max_ms": r.Max.Seconds() * 1e3,
			"refused": r.Refused, "throttled": r.Throttled, "errors": r.Errors,
		}
		if pid != 0 {
			if err := bench.Settle(cmd.Context(), pid, time.Minute); err != nil {
				return err
			}
			after, err := bench.CPU(pid)
			if err != nil {
				return err
			}
			resident, peak, err := bench.Memory(pid)
			if err != nil {
				return err
			}
			out["server_cpu_seconds"] = (after - before).Seconds()
			out["documents_per_cpu_second"] = float64(r.Documents) / (after - before).Seconds()
			out["resident_bytes"], out["peak_bytes"] = resident, peak
		}
		if idFile != "" {
			if err := os.WriteFile(idFile, []byte(strings.Join(r.IDs, "\n")+"\n"), 0o644); err != nil {
				return err
			}
		}
		if asJSON {
			if err := json.NewEncoder(env.Stdout).Encode(out); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(env.Stdout, "%s in %.2f s: %s/s\n", plural(r.Documents, "document"), r.Elapsed.Seconds(), group(int(r.PerSecond())))
			if !l.UDP {
				fmt.Fprintf(env.Stdout, "acknowledged after %.2f ms (median), %.2f ms (99 %%), %.2f ms (longest)\n", r.P50.Seconds()*1e3, r.P99.Seconds()*1e3, r.Max.Seconds()*1e3)
			}
			if v, ok := out["documents_per_cpu_second"].(float64); ok {
				fmt.Fprintf(env.Stdout, "server: %s documents per CPU second, peak memory %.0f MB\n", group(int(v)), float64(out["peak_bytes"].(int64))/1e6)
			}
			if r.Refused+r.Throttled+r.Errors > 0 {
				fmt.Fprintf(env.Stdout, "%s refused, %s throttled, %s failed: %s\n", plural(r.Refused, "document"), plural(r.Throttled, "call"), plural(r.Errors, "call"), r.FirstErr)
			}
		}
		if r.Errors > 0 {
			return &exitError{status: 1}
		}
		return nil
	}
	return cmd
}

func newBenchReadCommand(env *Env) *cobra.Command {
	var idFile string
	var reads, clients int
	cmd := &cobra.Command{
		Use:     "read --ids FILE",
		Short:   "Read traces by id and measure how long it takes",
		Example: `  roentgen bench read --ids ids.txt --reads 10000 --clients 1`,
		Args:    noArgs,
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().StringVar(&idFile, "ids", "", "file with a trace id on each line, as bench ingest --ids writes it")
	cmd.Flags().IntVar(&reads, "reads", 10000, "how many traces to read")
	cmd.Flags().IntVar(&clients, "clients", 1, "connections that read at once")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		if idFile == "" || reads < 1 || clients < 1 {
			return &exitError{2, fmt.Errorf("--ids names the file with the ids to read; see roentgen bench ingest --ids")}
		}
		data, err := os.ReadFile(idFile)
		if err != nil {
			return err
		}
		ids := strings.Fields(string(data))
		if len(ids) == 0 {
			return fmt.Errorf("%s holds no ids", idFile)
		}
		r := bench.Read(cmd.Context(), c.endpoint, c.wrap, ids, reads, clients)
		fmt.Fprintf(env.Stdout, "%s of %s ids in %.2f s: %.3f ms (median), %.3f ms (99 %%), %.3f ms (longest); %d missing\n",
			plural(r.Reads, "read"), group(len(ids)), r.Elapsed.Seconds(), r.P50.Seconds()*1e3, r.P99.Seconds()*1e3, r.Max.Seconds()*1e3, r.Missing)
		if r.FirstErr != "" {
			return fmt.Errorf("a read failed: %s", r.FirstErr)
		}
		if r.Missing > 0 {
			return &exitError{status: 1}
		}
		return nil
	}
	return cmd
}

func newBenchSearchCommand(env *Env) *cobra.Command {
	var window time.Duration
	var times int
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Ask for summaries, graphs and statistics and measure how long it takes",
		Long: `Ask a server the same questions over and over, one after the other, and print a
table of how long the answers took. Load it first with bench ingest --rare.`,
		Example: `  roentgen bench ingest --documents 1000000 --rare --batch 500 --clients 4
  roentgen bench search --window 1h --times 100`,
		Args: noArgs,
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().DurationVar(&window, "window", time.Hour, "how far back the searches look")
	cmd.Flags().IntVar(&times, "times", 100, "how often each question is asked")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		if window <= 0 || times < 1 {
			return &exitError{2, fmt.Errorf("--window must be longer than 0, and --times at least 1")}
		}
		end := time.Now().Add(time.Minute)
		fmt.Fprintln(env.Stdout, "| question | asked | items | median | 99 % | longest |\n|---|---|---|---|---|---|")
		return bench.Search(cmd.Context(), c.endpoint, c.wrap, end.Add(-window), end, times, func(a bench.Answer) {
			fmt.Fprintf(env.Stdout, "| %s | %d | %s | %.2f ms | %.2f ms | %.2f ms |\n", a.Name, a.Asked, group(a.Items),
				a.P50.Seconds()*1e3, a.P99.Seconds()*1e3, a.Max.Seconds()*1e3)
		})
	}
	return cmd
}

func newBenchSinkCommand(env *Env) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "sink",
		Short: "Read and discard what is sent, as the ceiling to compare with",
		Example: `  roentgen bench sink &
  roentgen bench ingest --endpoint http://127.0.0.1:2010`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := bench.StartSink(listen)
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "discarding on http://%s\n", s.Addr())
			<-cmd.Context().Done()
			s.Close()
			return json.NewEncoder(env.Stdout).Encode(map[string]int64{"Datagrams": s.Count.Load()})
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:2010", "address to listen on, UDP and TCP")
	return cmd
}

func newBenchSuiteCommand(env *Env) *cobra.Command {
	var s bench.Suite
	var only, jsonFile string
	cmd := &cobra.Command{
		Use:   "suite",
		Short: "Measure the whole matrix on servers of its own",
		Example: `  roentgen bench suite --duration 10s > figures.md
  roentgen bench suite --only 'HTTP, 1000 B, batches of 50'`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&s.Scratch, "scratch", os.TempDir(), "folder for the servers' data")
	cmd.Flags().DurationVar(&s.Duration, "duration", 10*time.Second, "how long to load each server")
	cmd.Flags().DurationVar(&s.Sink, "sink", 4*time.Second, "how long to load the discarding server (0: leave it out)")
	cmd.Flags().StringVar(&only, "only", "", "measure only the cases whose description holds this text")
	cmd.Flags().StringVar(&jsonFile, "json", "", "write the results as JSON to this file too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		s.Binary, s.Log = self, env.Stderr
		s.Compact = func(dir string) error { return compactFolder(cmd.Context(), dir) }
		for _, c := range bench.Matrix() {
			if strings.Contains(c.String(), only) {
				s.Cases = append(s.Cases, c)
			}
		}
		if len(s.Cases) == 0 {
			return &exitError{2, fmt.Errorf("no case's description holds %q", only)}
		}
		var results []bench.CaseResult
		err = s.Run(cmd.Context(), func(r bench.CaseResult) {
			results = append(results, r)
			fmt.Fprintf(env.Stderr, "  %s/s, %s per CPU second\n", group(int(r.PerSecond)), group(int(r.PerCPUSecond)))
		})
		bench.Markdown(env.Stdout, results)
		if jsonFile != "" {
			text, jerr := json.MarshalIndent(results, "", " ")
			if jerr == nil {
				jerr = os.WriteFile(jsonFile, text, 0o644)
			}
			if err == nil {
				err = jerr
			}
		}
		return err
	}
	return cmd
}

func newBenchDiskCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "disk DATA-DIR",
		Short: "Show what takes room in the data folder of a stopped server",
		Long: `Compact the data folder of a stopped server completely and show what each kind of
key takes there: how many there are, their bytes as they are given to Pebble, and
their bytes on disk, both also for each document.`,
		Example: `  roentgen bench disk ./roentgen-data`,
		Args:    oneArg("name the data folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return err // opening would make the folder
			}
			s, err := pebblestore.Open(pebblestore.Config{Dir: args[0]})
			if err != nil {
				return err
			}
			var sizes []pebblestore.KindSize
			if err = s.Compact(cmd.Context()); err == nil {
				sizes, err = s.Sizes(cmd.Context())
			}
			documents := float64(max(1, s.Stats().Documents))
			if err = errors.Join(err, s.Close()); err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "%-34s %10s %14s %12s %10s %10s\n", "", "keys", "bytes", "on disk", "each", "on disk")
			var sum pebblestore.KindSize
			for _, k := range append(sizes, sum) {
				if k.Kind == "" {
					k = sum
					k.Kind = "all"
				}
				fmt.Fprintf(env.Stdout, "%-34s %10d %14d %12d %10.1f %10.1f\n", k.Kind, k.Keys, k.Bytes, k.Disk, float64(k.Bytes)/documents, float64(k.Disk)/documents)
				sum.Keys, sum.Bytes, sum.Disk = sum.Keys+k.Keys, sum.Bytes+k.Bytes, sum.Disk+k.Disk
			}
			return nil
		},
	}
}

// compactFolder compacts the data of a stopped server completely.
func compactFolder(ctx context.Context, dir string) error {
	s, err := pebblestore.Open(pebblestore.Config{Dir: dir})
	if err != nil {
		return err
	}
	return errors.Join(s.Compact(ctx), s.Close())
}
