package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// maxControlFile bounds what is read of a file to import; the server takes no more.
const maxControlFile = 64 << 20

func newControlCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "control",
		Short: "Save and restore what is configured: groups, sampling rules, saved views, ...",
		Long: `Save and restore the control state: what people configured through the API, that is
groups, sampling rules, tags, resource policies, encryption, indexing rules, the trace
segment destination, and the page's saved views and short links. Neither traces nor
access keys are part of it.`,
		Example: `  roentgen control export backup.json
  roentgen control import --check backup.json
  roentgen control import backup.json --endpoint http://traces.example.com:2000`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newControlExportCommand(env), newControlImportCommand(env))
	return cmd
}

func newControlExportCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write the control state to a file, or to standard output",
		Example: `  roentgen control export backup.json
  roentgen control export | jq .state.groups`,
		Args: argsUpTo(1),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		resp, err := c.send(cmd.Context(), c.http, http.MethodGet, "/api/control", nil)
		if err != nil {
			return c.controlError(err)
		}
		defer resp.Body.Close()
		file, err := io.ReadAll(resp.Body)
		if err != nil {
			return fmt.Errorf("%s: the answer was cut off: %w", c.endpoint, err)
		}
		if !json.Valid(file) {
			return fmt.Errorf("%s/api/control: the answer is not what this version of roentgen expects; is it a Roentgen server?", c.endpoint)
		}
		if len(args) == 0 || args[0] == "-" {
			_, err := env.Stdout.Write(file)
			return err
		}
		if err := replaceFile(args[0], file); err != nil {
			var perr *fs.PathError
			if errors.As(err, &perr) {
				err = perr.Err
			}
			return fmt.Errorf("%s: %w", args[0], err)
		}
		return nil
	}
	return cmd
}

// replaceFile writes a file whole or not at all: what was there may be the only copy.
// What is no file, such as a pipe or /dev/null, is written to.
func replaceFile(name string, data []byte) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func newControlImportCommand(env *Env) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make the control state what a file says",
		Long: `Make the control state what a file of roentgen control export says, all of it or, when
something in it is wrong, nothing. What the file does not have is removed. Traces that
are stored stay filed under their groups.

A file that was edited has to have its checksum taken out. "-" reads standard input.`,
		Example: `  roentgen control import --check backup.json
  roentgen control export --endpoint http://old:2000 | roentgen control import -`,
		Args: oneArg("name the file to import, or - for standard input"),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&check, "check", false, "change nothing, only say what would change")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		file, err := readControlFile(env.Stdin, args[0])
		if err != nil {
			return err
		}
		path := "/api/control"
		if check {
			path += "?check=true"
		}
		var answer struct {
			Changes []struct {
				Section, Change string
				Name            *string
			}
		}
		if _, err := c.do(cmd.Context(), http.MethodPost, path, file, &answer); err != nil {
			return c.controlError(err)
		}
		var b bytes.Buffer
		for _, change := range answer.Changes {
			what := clean(change.Section)
			if change.Name != nil {
				what += " " + clean(*change.Name)
			}
			fmt.Fprintf(&b, "%s: %s\n", what, clean(change.Change))
		}
		switch {
		case len(answer.Changes) == 0:
			fmt.Fprintln(&b, "nothing changes: the server has what the file says")
		case check:
			fmt.Fprintf(&b, "%s would be made; without --check they are\n", plural(len(answer.Changes), "change"))
		default:
			fmt.Fprintf(&b, "%s made\n", plural(len(answer.Changes), "change"))
		}
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

func readControlFile(stdin io.Reader, name string) ([]byte, error) {
	from, shown := stdin, "stdin"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			var perr *fs.PathError
			if errors.As(err, &perr) {
				err = perr.Err
			}
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		defer f.Close()
		from, shown = f, name
	}
	file, err := io.ReadAll(io.LimitReader(from, maxControlFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	if len(file) > maxControlFile {
		return nil, fmt.Errorf("%s is larger than a control state can be", shown)
	}
	return file, nil
}

// controlError says in plain words that a server has no such endpoint, or what it
// found wrong with a file.
func (c *client) controlError(err error) error {
	var refusal *apiError
	switch {
	case !errors.As(err, &refusal):
	case refusal.Status == http.StatusNotFound:
		return fmt.Errorf("%s cannot do that: it is no Roentgen server, or one of an earlier version", c.endpoint)
	case refusal.Status == http.StatusBadRequest && strings.HasPrefix(refusal.Message, "nothing was imported"):
		return errors.New(clean(refusal.Message))
	}
	return err
}
