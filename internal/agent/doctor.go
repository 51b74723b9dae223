package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/receiver/udp"
)

// CheckVerdict says how a check went.
type CheckVerdict uint8

const (
	CheckGood CheckVerdict = iota
	CheckWarn
	CheckBad
)

// Check is one finding of Diagnose.
type Check struct {
	Verdict CheckVerdict
	Subject string // what was looked at
	Finding string
	Remedy  string // what to do, "" when there is nothing to do
}

// Diagnose checks what an agent of these settings needs. It changes nothing: a
// folder that it made would belong to whoever asks, who need not be the agent.
func Diagnose(ctx context.Context, c *Config, file string, warnings []string, getenv func(string) string) []Check {
	var list []Check
	add := func(v CheckVerdict, subject, remedy, format string, args ...any) {
		list = append(list, Check{v, subject, fmt.Sprintf(format, args...), remedy})
	}
	if file == "" {
		add(CheckGood, "configuration", "", "no file; flags and defaults")
	} else {
		add(CheckGood, "configuration", "", "%s", file)
	}
	for _, w := range warnings {
		add(CheckWarn, "configuration", "remove it, or correct its name", "%s", w)
	}
	list = append(list, checkPorts(ctx, c)...)
	if c.UnixSocket != "" {
		list = append(list, checkUnix(ctx, c.UnixSocket))
	}
	list = append(list, checkBuffer())
	list = append(list, checkSpool(c)...)
	var own []net.Addr
	if at, err := net.ResolveTCPAddr("tcp", c.TCPAddress); err == nil && c.TCPAddress != "" {
		own = append(own, at)
	}
	for _, d := range c.Destinations {
		if d.LeadsTo(ctx, own) {
			add(CheckBad, "destination "+d.Name, "name the address of the destination, or choose another port with --bind-tcp", "%v", d.IsSelf("agent"))
			continue
		}
		list = append(list, checkDestination(ctx, c, d, getenv)...)
	}
	return list
}

// checkPorts binds the addresses, unless an agent of ours has them.
func checkPorts(ctx context.Context, c *Config) (list []Check) {
	var lc net.ListenConfig
	for _, p := range []struct{ network, address, flag string }{{"tcp", c.TCPAddress, "--bind-tcp"}, {"udp", c.UDPAddress, "--bind"}} {
		if p.address == "" {
			continue
		}
		subject := strings.ToUpper(p.network) + " " + p.address
		var err error
		if p.network == "tcp" {
			var ln net.Listener
			if ln, err = lc.Listen(ctx, "tcp", p.address); err == nil {
				ln.Close()
			}
		} else {
			var pc net.PacketConn
			if pc, err = lc.ListenPacket(ctx, "udp", p.address); err == nil {
				pc.Close()
			}
		}
		switch {
		case err == nil:
			list = append(list, Check{CheckGood, subject, "free", ""})
		case errors.Is(err, syscall.EADDRINUSE) && isAgent(ctx, c.PagesURL()):
			list = append(list, Check{CheckGood, subject, "a running agent has it", ""})
		default:
			list = append(list, Check{CheckBad, subject, err.Error(), "stop what has the port (often the X-Ray daemon), or choose another with " + p.flag})
		}
	}
	return list
}

func isAgent(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var st Status
	// Anything may listen there, and answer anything.
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&st) == nil && st.Spool.Folder != ""
}

// checkUnix looks at whether a Unix socket can be made.
func checkUnix(ctx context.Context, path string) Check {
	subject := "Unix socket " + path
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSocket == 0:
		return Check{CheckBad, subject, "there is a file of that name, which is no socket", "remove it, or choose another path with --unix-socket"}
	case err == nil:
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if c, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
			c.Close()
			return Check{CheckGood, subject, "a running process has it", ""}
		}
	}
	if _, _, err := tryFolder(filepath.Dir(path), false); err != nil {
		return Check{CheckBad, subject, err.Error(), "make its folder, and let the agent's user write there, or choose another path with --unix-socket"}
	}
	return Check{CheckGood, subject, "free", ""}
}

// checkBuffer looks at how large the kernel lets the socket's buffer become.
func checkBuffer() Check {
	const subject = "socket buffer"
	size, hint, err := udp.TryBuffer()
	switch {
	case err != nil:
		return Check{CheckWarn, subject, err.Error(), ""}
	case hint == "":
		return Check{CheckGood, subject, fmt.Sprintf("%d MB", size>>20), ""}
	}
	return Check{CheckWarn, subject, fmt.Sprintf("at most %d KB, which holds a burst of some %d datagrams", size>>10, size/2300),
		hint + " (and in /etc/sysctl.d), or give the process CAP_NET_ADMIN"}
}

// tryFolder writes and syncs a file in a folder, or with above in the next one above
// it that is there.
func tryFolder(dir string, above bool) (at string, took time.Duration, err error) {
	for at = dir; above; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
	}
	f, err := os.CreateTemp(at, "roentgen-doctor-*.tmp")
	if err != nil {
		return at, 0, err
	}
	begin := time.Now()
	_, err = f.Write(make([]byte, 4096))
	err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	return at, time.Since(begin), err
}

// checkSpool looks at the folder and the disk under it.
func checkSpool(c *Config) (list []Check) {
	var dir, at string
	var took time.Duration
	for i, folder := range c.spoolFolders() {
		var err error
		dir = folder
		if at, took, err = tryFolder(dir, true); err == nil {
			break
		}
		last := i == len(c.spoolElse)
		switch {
		case !forbidden(err):
			return append(list, Check{CheckBad, "spool", err.Error(), "free space on the disk, or name another folder with --spool-dir"})
		case last && i == 0:
			return append(list, Check{CheckBad, "spool", err.Error(), "name a folder that the agent's user may write with --spool-dir"})
		case last:
			list[0].Verdict = CheckBad
			return list
		case i == 0:
			list = append(list, Check{CheckWarn, "spool", err.Error(), "name a folder with --spool-dir that the agent's user may write and that outlives a restart of the machine"})
		}
	}
	finding := dir
	if at != dir {
		finding += ", not made yet"
	}
	if took > 100*time.Millisecond {
		list = append(list, Check{CheckWarn, "spool", fmt.Sprintf("%s, a sync takes %s", finding, took.Round(time.Millisecond)), "a faster disk shortens the wait of senders that want an acknowledgement"})
	} else {
		list = append(list, Check{CheckGood, "spool", fmt.Sprintf("%s, a sync takes %s", finding, took.Round(10*time.Microsecond)), ""})
	}
	limit := c.SpoolSize
	if limit <= 0 {
		limit = 1 << 30
	}
	if usage, err := vfs.Default.GetDiskUsage(at); err == nil && int64(usage.AvailBytes) < limit {
		list = append(list, Check{CheckWarn, "spool", fmt.Sprintf("the disk has %d MB left, and the spool may take %d MB", usage.AvailBytes>>20, limit>>20), "free space, or lower --spool-size"})
	}
	return list
}

// checkDestination asks a destination for its sampling rules, as every SDK does.
func checkDestination(ctx context.Context, c *Config, d Destination, getenv func(string) string) (list []Check) {
	subject := "destination " + d.Name
	opts := d.options(c.LocalMode, getenv)
	if d.Type == TypeOTLP {
		return checkOTLP(ctx, d, opts, subject)
	}
	id, err := newAWSIdentity(opts)
	if err != nil {
		return []Check{{CheckBad, subject, err.Error(), ""}}
	}
	tr, err := opts.transport(2)
	if err != nil {
		return []Check{{CheckBad, subject, err.Error(), "correct --proxy-address or the file of certificates"}}
	}
	e := newXRayExporter(xrayConfig{identity: id, timeout: d.Timeout, transport: tr, userAgent: "roentgen-agent/doctor"})
	defer e.Close()
	if opts.sign == signAsked {
		// Whether it asks shows when it is spoken to.
		a := e.call(ctx, rulesPath, jsonType, "", []byte("{}"))
		if a.status == http.StatusForbidden || a.status == http.StatusUnauthorized {
			id.rejected()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	endpoint, region, credentials, err := id.resolve(ctx)
	if err != nil {
		remedy := "give the agent credentials: a role of the instance, task or pod, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
		if strings.Contains(err.Error(), "region") {
			remedy = ""
		}
		return []Check{{CheckBad, subject, err.Error(), remedy}}
	}
	signed := "unsigned"
	if credentials != nil {
		signed = fmt.Sprintf("signed with %s for %s (from %s)", credentials.AccessKeyID, region, credentials.Source)
	}
	list = append(list, Check{CheckGood, subject, fmt.Sprintf("%s, %s", endpoint, signed), ""})
	begin := time.Now()
	a := e.call(ctx, rulesPath, jsonType, "", []byte("{}"))
	switch {
	case a.err != nil:
		return append(list, Check{CheckBad, subject, a.err.Error(), "check the network, --proxy-address and the endpoint"})
	case a.status != http.StatusOK:
		code, message := errorOf(&a)
		remedy := ""
		switch {
		case a.status == http.StatusForbidden || a.status == http.StatusUnauthorized || credentialCodes[code]:
			remedy = "give the role or user the policy AWSXRayDaemonWriteAccess, or correct the credentials"
		case a.status == http.StatusNotFound:
			remedy = "the endpoint does not speak the X-Ray API; correct it"
		}
		list = append(list, Check{CheckBad, subject, fmt.Sprintf("it answers %d %s: %s", a.status, code, message), remedy})
	default:
		list = append(list, answered(subject, begin))
	}
	return append(list, checkClock(&a, d.Name, credentials != nil)...)
}

// answered says how long a destination took that was asked at begin.
func answered(subject string, begin time.Time) Check {
	return Check{CheckGood, subject, fmt.Sprintf("it answers, in %s", time.Since(begin).Round(10*time.Microsecond)), ""}
}

// checkClock compares the clock with that of an answer.
func checkClock(a *answer, name string, signed bool) []Check {
	theirs, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return nil
	}
	off := time.Until(theirs)
	if off.Abs() <= 30*time.Second {
		return []Check{{CheckGood, "clock", "it agrees with that of " + name, ""}}
	}
	v := CheckWarn
	if off.Abs() > skewBound && signed {
		v = CheckBad
	}
	return []Check{{v, "clock", fmt.Sprintf("it differs from that of %s by %s", name, off.Abs().Round(time.Second)), "let the machine's clock follow a time server; segments carry its times"}}
}

// checkOTLP sends a destination a call without spans.
func checkOTLP(ctx context.Context, d Destination, opts awsOptions, subject string) []Check {
	e, err := newOTLPExporter(d, opts, "roentgen-agent/doctor")
	if err != nil {
		return []Check{{CheckBad, subject, err.Error(), "correct the endpoint, --proxy-address or the files of certificates"}}
	}
	defer e.Close()
	list := []Check{{CheckGood, subject, fmt.Sprintf("%s, compression %s", e.Target(), d.Compression), ""}}
	begin := time.Now()
	a := e.call(ctx, "", nil)
	out := judgeOTLP(&a)
	if e.grpc {
		out = judgeGRPC(&a, 0)
	}
	switch {
	case a.err != nil:
		return append(list, Check{CheckBad, subject, a.err.Error(), "check the network, --proxy-address, the endpoint, and Protocol (grpc or http/protobuf)"})
	case out.Verdict != Delivered:
		remedy := "check the endpoint, and Protocol (grpc or http/protobuf)"
		if text := out.Err.Error(); a.status == http.StatusForbidden || a.status == http.StatusUnauthorized || strings.HasPrefix(text, "UNAUTHENTICATED") || strings.HasPrefix(text, "PERMISSION_DENIED") {
			remedy = "set Headers of the destination (or OTEL_EXPORTER_OTLP_HEADERS) to what it asks for"
		}
		list = append(list, Check{CheckBad, subject, "it answers " + out.Err.Error(), remedy})
	default:
		list = append(list, answered(subject, begin))
	}
	return append(list, checkClock(&a, d.Name, false)...)
}
