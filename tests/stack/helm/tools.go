//go:build tools

// Package tools pins the Helm that the tests run.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
