// Judges objects by Argo CD itself: by its reader of argocd-cm and its Lua machine; and our examples of Applications by
// its types. Reads objects from stdin, one JSON document after the other; writes for each the line that tests/gitops
// writes, as far as it is about Argo CD.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/helm"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type verdict struct {
	Argo    *health         `json:"argo"`
	Actions map[string]bool `json:"actions,omitempty"`
	// The object as each action that can be used now would make it.
	Acted map[string]any `json:"acted,omitempty"`
}

func main() {
	logrus.SetLevel(logrus.WarnLevel)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "argo:", err)
		os.Exit(1)
	}
}

// Arguments: argocd-cm.yaml, and Applications.
func run() error {
	if len(os.Args) < 2 {
		return errors.New("usage: argo ARGOCD-CM APPLICATION… <objects")
	}
	for _, file := range os.Args[2:] {
		if err := understood(file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	machine, err := configured(os.Args[1])
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
		judged, err := judge(machine, object)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", object.GetNamespace(), object.GetName(), err)
		}
		if err := out.Encode(judged); err != nil {
			return err
		}
	}
}

// An Application without a field that Argo CD does not know; a chart is one of an OCI registry.
func understood(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	application := &v1alpha1.Application{}
	if err := yaml.UnmarshalStrict(text, application); err != nil {
		return err
	}
	source := application.Spec.Source
	if source.IsHelm() && !helm.IsHelmOciRepo(source.RepoURL) {
		return fmt.Errorf("%s is not taken for an OCI registry", source.RepoURL)
	}
	return nil
}

// Argo CD's settings as it reads them from its ConfigMap, of which the file has a part.
func configured(file string) (*lua.VM, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	config := &corev1.ConfigMap{}
	if err := yaml.Unmarshal(text, config); err != nil {
		return nil, err
	}
	config.Name, config.Namespace = common.ArgoCDConfigMapName, "argocd"
	config.Labels = map[string]string{"app.kubernetes.io/part-of": "argocd"}
	manager := settings.NewSettingsManager(context.Background(), fake.NewClientset(config), config.Namespace)
	overrides, err := manager.GetResourceOverrides()
	return &lua.VM{ResourceOverrides: overrides}, err
}

func judge(machine *lua.VM, object *unstructured.Unstructured) (*verdict, error) {
	judged := &verdict{}
	found, err := lua.ResourceHealthOverrides(machine.ResourceOverrides).GetResourceHealth(object)
	if err != nil {
		return nil, err
	}
	if found != nil {
		judged.Argo = &health{string(found.Status), found.Message}
	}
	scripts, err := machine.GetResourceActionDiscovery(object)
	if err != nil || len(scripts) == 0 {
		return judged, err
	}
	actions, err := machine.ExecuteResourceActionDiscovery(object, scripts)
	if err != nil {
		return nil, err
	}
	judged.Actions, judged.Acted = map[string]bool{}, map[string]any{}
	for _, action := range actions {
		judged.Actions[action.Name] = !action.Disabled
		if action.Disabled {
			continue
		}
		definition, err := machine.GetResourceAction(object, action.Name)
		if err != nil {
			return nil, err
		}
		changed, err := machine.ExecuteResourceAction(object, definition.ActionLua, nil)
		if err != nil {
			return nil, err
		}
		if len(changed) != 1 || changed[0].K8SOperation != lua.PatchOperation {
			return nil, fmt.Errorf("the action %s does more than to change the object", action.Name)
		}
		judged.Acted[action.Name] = changed[0].UnstructuredObj
	}
	return judged, nil
}
