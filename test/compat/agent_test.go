package compat

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/roentgen-io/roentgen/test/process"
)

// TestSDKsThroughAgent runs the instrumented programs in front of an agent that
// was started under the daemon's name, with the daemon's flags and file, and
// compares every trace that reaches the server with what the SDK sent.
func TestSDKsThroughAgent(t *testing.T) {
	for _, k := range sdks {
		t.Run(k.name, func(t *testing.T) {
			k.command(t) // a missing tool skips before a server is started
			s := serve(t)
			address := process.FreeAddress(t)
			dir := t.TempDir()
			cfg := filepath.Join(dir, "cfg.yaml")
			text := "TotalBufferSizeMB: 3\nConcurrency: 8\nRegion: \"eu-west-1\"\nEndpoint: \"" + s.URL + "\"\nSocket:\n  UDPAddress: \"" + address + "\"\n  TCPAddress: \"" + address +
				"\"\nLogging:\n  LogRotation: true\n  LogLevel: \"prod\"\n  LogPath: \"\"\nLocalMode: true\nResourceARN: \"\"\nRoleARN: \"\"\nNoVerifySSL: false\nProxyAddress: \"\"\nVersion: 2\n"
			if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			a := process.Await(t, process.LaunchWith(t, []string{"STATE_DIRECTORY=" + dir, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"},
				"agent", "-local-mode", "-config="+cfg, "-log-level", "dev"), address)
			t.Cleanup(func() {
				a.Signal(t, syscall.SIGTERM)
				if state := a.Wait(t); !state.Success() {
					t.Errorf("the agent ended with %v", state)
				}
				if t.Failed() {
					t.Logf("the agent's log:\n%s", a.Output)
				}
			})
			r := newRelay(t, address)
			env := environment("AWS_XRAY_DAEMON_ADDRESS=tcp:"+address+" udp:"+r.addr, "AWS_XRAY_COLLECT_SQL_QUERIES=1", "SAMPLE_ALL=1", "STUB="+stub(t))
			ids := k.run(t, env, k.scenarios...)
			for _, scenario := range k.scenarios {
				t.Run(scenario, func(t *testing.T) { s.check(t, r, ids[scenario]) })
			}
		})
	}
}
