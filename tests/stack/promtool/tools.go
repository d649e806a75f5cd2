//go:build tools

// Package tools pins the promtool that the tests of the alerts run in.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
