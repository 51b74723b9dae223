package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/keys"
)

func newKeyCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, list and revoke access keys",
		Long: `Make, list and revoke the access keys of a server that runs with --keys FILE. The
commands change the file; a server that uses it takes a change over within a
second or so. They need no server.

A key has roles:

  write   send segments, ask for sampling rules and targets
  read    ask for traces, graphs, statistics and settings
  admin   everything, the above included

Keys are those of AWS in form and use: AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY make any AWS SDK, the AWS CLI and roentgen's own commands
sign with them.`,
		Example: `  roentgen key create --keys keys.json --role admin --name laptop
  roentgen key create --keys keys.json --role write --name shop --expires 90d
  roentgen key list --keys keys.json
  roentgen key revoke --keys keys.json RGENW5SN7YSLQ2VBD4KA`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeyCreateCommand(env), newKeyListCommand(env), newKeyRevokeCommand(env))
	return cmd
}

// keysFlag adds --keys, as serve has it.
func keysFlag(fs *pflag.FlagSet, env *Env) *string {
	return fs.String("keys", env.Getenv("ROENTGEN_KEYS"), "`file` with the keys (environment: ROENTGEN_KEYS)")
}

func needKeys(file string) error {
	if file == "" {
		return usageError(errors.New("name the file of keys with --keys FILE, the same as for roentgen serve"))
	}
	return nil
}

// shownKey is a key as --json prints it: like its entry in the file.
type shownKey struct {
	keys.Key
	Bearer string `json:"bearer_token,omitempty"`
	State  string `json:"state"`
}

func newKeyCreateCommand(env *Env) *cobra.Command {
	var roleNames []string
	var name, expires, bytesPerSecond string
	var documentsPerSecond int64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a key and show its secret, this once",
		Example: `  roentgen key create --keys keys.json --role admin --name laptop
  roentgen key create --keys keys.json --role write,read --expires 90d --json`,
		Args: noArgs,
	}
	file := keysFlag(cmd.Flags(), env)
	cmd.Flags().StringSliceVar(&roleNames, "role", nil, "the `role`s it has: write, read or admin; several with commas")
	cmd.Flags().StringVar(&name, "name", "", "whose it is, for people")
	cmd.Flags().StringVar(&expires, "expires", "", "`age` at which it stops working, such as 90d (default: never)")
	cmd.Flags().Int64Var(&documentsPerSecond, "documents-per-second", 0, "segment documents a second that may be sent with it; 0: as much as the server's settings say")
	cmd.Flags().StringVar(&bytesPerSecond, "bytes-per-second", "", "`size` of the documents a second that may be sent with it, such as 1MB")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the key as JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := needKeys(*file); err != nil {
			return err
		}
		var roles []keys.Role
		for _, s := range roleNames {
			r, err := keys.ParseRole(strings.TrimSpace(s))
			if err != nil {
				return usageError(fmt.Errorf("--role: %w", err))
			}
			if !slices.Contains(roles, r) {
				roles = append(roles, r)
			}
		}
		if len(roles) == 0 {
			return usageError(errors.New("say what the key may be used for: --role write, read or admin"))
		}
		if err := keys.CheckName(name); err != nil {
			return usageError(fmt.Errorf("--name: %w", err))
		}
		now := time.Now()
		k := keys.New(name, roles, now)
		if expires != "" {
			age, err := config.ParseDuration(expires)
			if err != nil {
				return usageError(fmt.Errorf("--expires: %w", err))
			}
			if age <= 0 {
				return usageError(errors.New("--expires: must be more than 0"))
			}
			k.Expires = k.Created.Add(age)
		}
		if documentsPerSecond < 0 {
			return usageError(errors.New("--documents-per-second: must not be less than 0"))
		}
		k.DocumentsPerSecond = documentsPerSecond
		if bytesPerSecond != "" {
			size, err := config.ParseBytes(bytesPerSecond)
			if err != nil {
				return usageError(fmt.Errorf("--bytes-per-second: %w", err))
			}
			k.BytesPerSecond = int64(size)
		}
		if err := keys.Update(*file, true, func(list []keys.Key) ([]keys.Key, error) { return append(list, k), nil }); err != nil {
			return err
		}
		err := showKey(env, &k, asJSON)
		if err == nil {
			return nil
		}
		// Nobody has its secret, and nobody will.
		gone := keys.Update(*file, false, func(list []keys.Key) ([]keys.Key, error) {
			return slices.DeleteFunc(list, func(other keys.Key) bool { return other.ID == k.ID }), nil
		})
		if gone != nil {
			return fmt.Errorf("the key could not be shown: %w; nor could it be taken out of %s again (%w): revoke it with roentgen key revoke %s", err, *file, gone, k.ID)
		}
		return fmt.Errorf("the key could not be shown, so it was taken out of %s again: %w", *file, err)
	}
	return cmd
}

// showKey prints a new key with its secret.
func showKey(env *Env, k *keys.Key, asJSON bool) error {
	if asJSON {
		return writeLine(env, shownKey{*k, k.Bearer(), "valid"})
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "made a key for %s%s\n\n", rolesText(k.Roles), expiryText(k))
	fmt.Fprintf(&b, "  export AWS_ACCESS_KEY_ID=%s\n  export AWS_SECRET_ACCESS_KEY=%s\n\n", k.ID, k.Secret)
	fmt.Fprintf(&b, "As a bearer token, for curl and Prometheus:\n\n  Authorization: Bearer %s\n\n", k.Bearer())
	fmt.Fprintln(&b, "The secret is not shown again.")
	_, err := b.WriteTo(env.Stdout)
	return err
}

func newKeyListCommand(env *Env) *cobra.Command {
	var asJSON bool
	var columns int
	var colour string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the keys, without their secrets",
		Example: `  roentgen key list --keys keys.json`,
		Args:    noArgs,
	}
	file := keysFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one key a line, as JSON")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := needKeys(*file); err != nil {
			return err
		}
		list, err := keys.Read(*file)
		if err != nil {
			return err
		}
		now := time.Now()
		if asJSON {
			for _, k := range list {
				k.Secret = ""
				if err := writeLine(env, shownKey{Key: k, State: k.State(now)}); err != nil {
					return err
				}
			}
			return nil
		}
		t := newTerminal(env.Stdout, env, colour, columns)
		var b bytes.Buffer
		if len(list) == 0 {
			fmt.Fprintln(&b, "there are no keys; roentgen key create makes one")
		} else {
			fmt.Fprintln(&b, t.paint(styleDim, fmt.Sprintf("%-20s  %-10s  %-10s  %-10s  %s", "KEY", "ROLES", "MADE", "STATE", "NAME")))
		}
		for i := range list {
			k := &list[i]
			made := "-"
			if !k.Created.IsZero() {
				made = k.Created.Format(time.DateOnly)
			}
			var roles []string
			for _, r := range k.Roles {
				roles = append(roles, string(r))
			}
			state := k.State(now)
			style := ""
			if state != "valid" {
				style = styleDim
			}
			name := clean(k.Name)
			if state == "valid" && !k.Expires.IsZero() {
				name = strings.TrimSpace(name + "  (until " + k.Expires.Format(time.DateOnly) + ")")
			}
			fmt.Fprintln(&b, t.paint(style, strings.TrimRight(fmt.Sprintf("%-20s  %-10s  %-10s  %-10s  %s", k.ID, strings.Join(roles, ","), made, state, name), " ")))
		}
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

func newKeyRevokeCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revoke KEY",
		Short:   "Take a key back, for good",
		Long:    `Take a key back, named by its access key id. Its secret is erased; the entry stays in the list.`,
		Example: `  roentgen key revoke --keys keys.json RGENW5SN7YSLQ2VBD4KA`,
		Args:    oneArg("name the key by its access key id"),
	}
	file := keysFlag(cmd.Flags(), env)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := needKeys(*file); err != nil {
			return err
		}
		id := args[0]
		err := keys.Update(*file, false, func(list []keys.Key) ([]keys.Key, error) {
			i := slices.IndexFunc(list, func(k keys.Key) bool { return k.ID == id })
			switch {
			case i < 0:
				return nil, fmt.Errorf("there is no key %s in %s; roentgen key list shows those that there are", clean(id), *file)
			case list[i].IsRevoked():
				return nil, fmt.Errorf("key %s was revoked already, on %s", clean(id), list[i].Revoked.Format(time.DateOnly))
			}
			list[i].Revoke(time.Now())
			return list, nil
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "revoked key %s\n", clean(id))
		return nil
	}
	return cmd
}

func writeLine(env *Env, v any) error {
	e := json.NewEncoder(env.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func rolesText(roles []keys.Role) string {
	if slices.Contains(roles, keys.RoleAdmin) {
		return "everything"
	}
	var words []string
	for _, r := range roles {
		words = append(words, map[keys.Role]string{keys.RoleWrite: "writing", keys.RoleRead: "reading"}[r])
	}
	return strings.Join(words, " and ")
}

func expiryText(k *keys.Key) string {
	if k.Expires.IsZero() {
		return ""
	}
	return ", until " + k.Expires.Format(time.RFC3339)
}
