package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/internal/bench"
)

func newBenchAgentCommand(env *Env) *cobra.Command {
	var b bench.AgentBench
	var c bench.AgentCase
	var only string
	var duration time.Duration
	var single bool
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Measure an agent, or the X-Ray daemon, in front of a stand-in for the API",
		Long: `Run agents of their own, one for each case, in front of a stand-in for the X-Ray
API that counts documents, and print a table: what was sent and delivered, the
rates, the agent's CPU time and memory, and the latency that it adds.`,
		Example: `  roentgen bench agent --duration 10s > figures.md
  roentgen bench agent --only 'API 40ms'
  roentgen bench agent --daemon ./xray                   the X-Ray daemon instead
  roentgen bench agent --one --rate 30000 --latency 40ms --outage 10m --duration 10m --spool-size 20GB`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVar(&b.Scratch, "scratch", os.TempDir(), "folder for spools")
	f.StringVar(&b.Daemon, "daemon", "", "binary of the X-Ray daemon to measure instead of roentgen agent")
	f.StringVar(&b.Type, "type", "aws", "destination of the agent: aws (signed, 50 documents a call) or roentgen")
	f.DurationVar(&duration, "duration", 10*time.Second, "how long each load lasts")
	f.StringVar(&only, "only", "", "measure only the cases whose description holds this text")
	f.BoolVar(&single, "one", false, "measure one case, of the flags below")
	f.StringVar(&c.Way, "way", "udp", "udp or http")
	f.IntVar(&c.Size, "size", 600, "bytes of a document, about")
	f.IntVar(&c.Clients, "clients", 2, "senders")
	f.IntVar(&c.Rate, "rate", 0, "documents per second (0: unpaced)")
	f.IntVar(&c.Documents, "documents", 0, "stop after so many documents")
	f.DurationVar(&c.Latency, "latency", 0, "how long the API takes for a call")
	f.DurationVar(&c.Outage, "outage", 0, "how long the API is away, from the first third of the load on")
	f.StringVar(&c.SpoolSize, "spool-size", "", "limit of the agent's spool")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		b.Binary, b.Log = self, env.Stderr
		var cases []bench.AgentCase
		if single {
			c.Duration = duration
			cases = append(cases, c)
		} else {
			for _, c := range bench.AgentMatrix(duration) {
				if strings.Contains(c.String(), only) {
					cases = append(cases, c)
				}
			}
		}
		if len(cases) == 0 {
			return usageError(fmt.Errorf("no case's description holds %q", only))
		}
		var results []bench.AgentResult
		for _, c := range cases {
			fmt.Fprintln(env.Stderr, c)
			r, err := b.Run(cmd.Context(), c)
			if err != nil {
				return fmt.Errorf("%s: %w", c, err)
			}
			results = append(results, *r)
		}
		bench.AgentMarkdown(env.Stdout, results)
		return nil
	}
	return cmd
}
