package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
	"sigs.k8s.io/yaml"
)

// What Argo CD shows.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// The Lua of argocd-cm, by its keys.
type scripts map[string]string

func readScripts(file string) (scripts, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config struct {
		Data map[string]string `json:"data"`
	}
	return config.Data, yaml.Unmarshal(text, &config)
}

func (s scripts) key(what string, object *unstructured.Unstructured) string {
	return fmt.Sprintf("resource.customizations.%s.%s_%s", what, object.GroupVersionKind().Group, object.GetKind())
}

func (s scripts) health(object *unstructured.Unstructured) (*health, error) {
	script, there := s[s.key("health", object)]
	if !there {
		return nil, nil
	}
	found := &health{}
	return found, evaluate(object, script, found)
}

// Which actions there are, whether each can be used now, and what those make of the object.
func (s scripts) actions(object *unstructured.Unstructured) (map[string]bool, map[string]any, error) {
	text, there := s[s.key("actions", object)]
	if !there {
		return nil, nil, nil
	}
	var config struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string `json:"name"`
			Action string `json:"action.lua"`
		} `json:"definitions"`
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return nil, nil, err
	}
	var found map[string]struct {
		Disabled bool `json:"disabled"`
	}
	if err := evaluate(object, config.Discovery, &found); err != nil {
		return nil, nil, err
	}
	actions, acted := map[string]bool{}, map[string]any{}
	for _, definition := range config.Definitions {
		action, there := found[definition.Name]
		if !there {
			return nil, nil, fmt.Errorf("the action %s is not discovered", definition.Name)
		}
		actions[definition.Name] = !action.Disabled
		var changed map[string]any
		if err := evaluate(object, definition.Action, &changed); err != nil {
			return nil, nil, err
		}
		if changed["kind"] != object.GetKind() {
			return nil, nil, fmt.Errorf("the action %s gives no object back", definition.Name)
		}
		if actions[definition.Name] {
			acted[definition.Name] = restored(changed, object.Object)
		}
	}
	return actions, acted, nil
}

// Lua has one empty table, which comes back as an array: Argo CD makes an object of it again where one was.
func restored(changed, before any) any {
	switch changed := changed.(type) {
	case map[string]any:
		before, _ := before.(map[string]any)
		for key, value := range changed {
			changed[key] = restored(value, before[key])
		}
	case []any:
		if _, object := before.(map[string]any); object && len(changed) == 0 {
			return map[string]any{}
		}
		before, _ := before.([]any)
		for i := range min(len(changed), len(before)) {
			changed[i] = restored(changed[i], before[i])
		}
	}
	return changed
}

// As Argo CD's util/lua: the base, package and table libraries and no other, the object as the global `obj`.
func evaluate(object *unstructured.Unstructured, script string, into any) error {
	machine := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer machine.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		if err := machine.CallByParam(lua.P{Fn: machine.NewFunction(open), NRet: 0, Protect: true}, lua.LString(name)); err != nil {
			return err
		}
	}
	text, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	// Numbers as Lua has them: the decoder knows no int64.
	value, err := luajson.Decode(machine, text)
	if err != nil {
		return err
	}
	machine.SetGlobal("obj", value)
	if err := machine.DoString(script); err != nil {
		return err
	}
	answer, err := luajson.Encode(machine.Get(-1))
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// The documents of a YAML file.
func documents(text []byte) [][]byte {
	var all [][]byte
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		if strings.TrimSpace(string(document)) != "" {
			all = append(all, document)
		}
	}
	return all
}
