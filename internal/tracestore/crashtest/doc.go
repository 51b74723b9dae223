// Package crashtest is the crash laboratory for engines of tracestore that keep
// their data on a file system of Pebble's vfs.
//
// It runs an engine on a file system in memory that knows what was synced, lets
// single operations fail (Faults), cuts the power at any moment with a random
// part of the unsynced data surviving, opens the engine on what is left, and
// holds it to the promises of tracestore:
//
//   - every document of an acknowledged Write is there exactly once, byte by byte;
//   - a Write that failed is there as a whole or not at all, and not at all when
//     its error says that nothing was stored;
//   - Scan and Documents agree, and the engine's own check of its views passes;
//   - when a fault is over the engine takes writes again by itself.
//
// By default a run strides through the operations with an offset drawn from
// its seed, so that many runs visit all of them; with ROENTGEN_CRASH=full in the
// environment one run does. ROENTGEN_SEED repeats a run, as far as the engine's
// own goroutines let it.
package crashtest
