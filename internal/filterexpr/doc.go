// Package filterexpr reads and judges filter expressions.
package filterexpr
