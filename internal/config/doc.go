// Package config holds everything a user can set for roentgen serve: one Config
// tree, and for each of its fields one entry in the table of settings.go that
// states its name, default, unit, summary and whether a running server takes a
// change of it.
//
// A setting is said in one of four places; the later one wins:
//
//	default                     30d
//	file, YAML                  retention: 7d
//	environment                 ROENTGEN_RETENTION=7d
//	flag                        --retention 7d
//
// The name is the same everywhere: the environment variable is the name in upper
// case with underscores behind ROENTGEN_, the flag has two dashes in front. An
// empty environment variable counts as not set.
//
// The file is the one that --config or ROENTGEN_CONFIG names, otherwise
// roentgen.yaml in the working directory when there is one. It is a flat YAML
// mapping; a key that no setting has, a key given twice and a value that does
// not parse fail with file and line.
//
// Load tells for each value where it came from (Loaded.Origin), so that
// serve --print-config and every complaint can name the place to change.
package config

//go:generate go run ./docgen -o ../../docs/config.md
