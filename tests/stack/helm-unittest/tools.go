//go:build tools

// Package tools pins the helm-unittest that the chart's tests run in.
package tools

import _ "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
