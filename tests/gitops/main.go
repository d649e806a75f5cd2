// Judges objects as GitOps tools do: Argo CD by its Lua scripts, Flux and Helm by kstatus, Flux by the CEL of
// healthCheckExprs. Reads objects from stdin, one JSON document after the other; writes one line of JSON for each.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

type verdict struct {
	Argo    *health         `json:"argo"`
	Actions map[string]bool `json:"actions,omitempty"`
	// The object as each action that can be used now would make it.
	Acted   map[string]any `json:"acted,omitempty"`
	Kstatus string         `json:"kstatus"`
	Cel     string         `json:"cel,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

// Arguments: argocd-cm.yaml, and a Flux Kustomization with healthCheckExprs.
func run() error {
	if len(os.Args) != 3 {
		return errors.New("usage: gitops ARGOCD-CM FLUX-KUSTOMIZATION <objects")
	}
	scripts, err := readScripts(os.Args[1])
	if err != nil {
		return err
	}
	expressions, err := readExpressions(os.Args[2])
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var text json.RawMessage
		if err := in.Decode(&text); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			return err
		}
		judged, err := judge(object, scripts, expressions)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", object.GetNamespace(), object.GetName(), err)
		}
		if err := out.Encode(judged); err != nil {
			return err
		}
	}
}

func judge(object *unstructured.Unstructured, scripts scripts, flux map[string]*cel.StatusEvaluator) (*verdict, error) {
	result, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	judged := &verdict{Kstatus: string(result.Status)}
	if judged.Argo, err = scripts.health(object); err != nil {
		return nil, err
	}
	if judged.Actions, judged.Acted, err = scripts.actions(object); err != nil {
		return nil, err
	}
	if evaluator := flux[object.GetKind()]; evaluator != nil {
		// Where an expression fails, as it does before there is a status, Flux goes on polling.
		result, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			result = &status.Result{Status: status.UnknownStatus}
		}
		judged.Cel = string(result.Status)
	}
	return judged, nil
}

func readExpressions(file string) (map[string]*cel.StatusEvaluator, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	evaluators := map[string]*cel.StatusEvaluator{}
	for _, document := range documents(text) {
		var kustomization struct {
			Spec struct {
				HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(document, &kustomization); err != nil {
			return nil, err
		}
		for _, check := range kustomization.Spec.HealthCheckExprs {
			evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
			if err != nil {
				return nil, err
			}
			evaluators[check.Kind] = evaluator
		}
	}
	return evaluators, nil
}
