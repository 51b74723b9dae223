// Package pebblestore is the embedded engine of tracestore, on Pebble.
package pebblestore
