package xrayapi

import (
	"encoding/json"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// modelShape is a shape of the service model.
type modelShape struct {
	Type     string
	Required []string
	Members  map[string]struct{ Shape string }
	Member   struct{ Shape string }
	Key      struct{ Shape string }
	Min, Max *float64
	Enum     []string
	Error    struct{ HTTPStatusCode int }
}

type serviceModel struct {
	Operations map[string]struct {
		HTTP          struct{ Method, RequestURI string }
		Input, Output struct{ Shape string }
		Errors        []struct{ Shape string }
	}
	Shapes map[string]modelShape
}

func readModel(t *testing.T) *serviceModel {
	t.Helper()
	text, err := os.ReadFile(sharedtest.Path(t, "spec/xray-botocore-service-2.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m serviceModel
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

// TestContract walks the service model: every operation has its path, every
// member of the operations that are built has its type and constraints.
func TestContract(t *testing.T) {
	m := readModel(t)
	if len(m.Operations) != 38 {
		t.Fatalf("the model has %d operations", len(m.Operations))
	}
	for name, op := range m.Operations {
		path := strings.TrimPrefix(op.HTTP.RequestURI, "/")
		if op.HTTP.Method != "POST" {
			t.Errorf("%s is %s", name, op.HTTP.Method)
		}
		ours, isBuilt := operations[path]
		other, isKnown := notImplemented[path]
		if isBuilt == isKnown {
			t.Errorf("%s (%s): built %t and not implemented %t", name, path, isBuilt, isKnown)
			continue
		}
		if isKnown {
			if other != name {
				t.Errorf("%s is called %s", name, other)
			}
			continue
		}
		if ours.name != name {
			t.Errorf("%s is called %s", name, ours.name)
		}
		m.compare(t, name, op.Input.Shape, ours.input)
	}
	if n := len(operations) + len(notImplemented); n != len(m.Operations) {
		t.Errorf("%d operations here, %d in the model", n, len(m.Operations))
	}
}

var modelKinds = map[string]kind{
	"string": kString, "integer": kInt, "double": kDouble, "boolean": kBool,
	"timestamp": kTime, "list": kList, "structure": kStruct,
}

func (m *serviceModel) compare(t *testing.T, path, name string, sh *shape) {
	t.Helper()
	want := m.Shapes[name]
	kind, ok := modelKinds[want.Type]
	if !ok || sh.kind != kind {
		t.Errorf("%s: kind %d, model %s", path, sh.kind, want.Type)
		return
	}
	bound := func(what string, model *float64, has bool, have float64) {
		// A least length of 0 says nothing.
		if model != nil && (*model != 0 || want.Type == "integer") != has || has && (model == nil || *model != have) {
			t.Errorf("%s: %s %v (%t), model %v", path, what, have, has, model)
		}
	}
	if want.Type == "list" || want.Type == "string" || want.Type == "integer" {
		bound("min", want.Min, sh.hasMin, sh.min)
		bound("max", want.Max, sh.hasMax, sh.max)
	}
	a, b := slices.Clone(want.Enum), slices.Clone(sh.enum)
	sort.Strings(a)
	sort.Strings(b)
	if !slices.Equal(a, b) {
		t.Errorf("%s: enum %v, model %v", path, b, a)
	}
	switch want.Type {
	case "list":
		m.compare(t, path+"[]", want.Member.Shape, sh.elem)
	case "structure":
		for _, member := range sh.members {
			ref, ok := want.Members[member.name]
			if !ok {
				t.Errorf("%s: the model has no %s", path, member.name)
				continue
			}
			if required := slices.Contains(want.Required, member.name); required != member.required {
				t.Errorf("%s.%s: required %t, model %t", path, member.name, member.required, required)
			}
			m.compare(t, path+"."+member.name, ref.Shape, member.shape)
		}
		if len(sh.members) != len(want.Members) {
			t.Errorf("%s: %d members, model %d", path, len(sh.members), len(want.Members))
		}
	}
}

// TestErrorsOfModel compares the errors that the model knows with the table.
func TestErrorsOfModel(t *testing.T) {
	m := readModel(t)
	modelled := []apierr.Code{apierr.InvalidRequest, apierr.Throttled, apierr.ResourceNotFound}
	for _, code := range modelled {
		sh, ok := m.Shapes[string(code)]
		if !ok {
			t.Errorf("%s is not in the model", code)
			continue
		}
		want := sh.Error.HTTPStatusCode
		if want == 0 { // not said: a client's fault
			want = 400
		}
		if got := apierr.Table[code].Status; got != want {
			t.Errorf("%s has status %d, model %d", code, got, want)
		}
		if _, ok := sh.Members[code.MessageKey()]; !ok {
			t.Errorf("%s: the model's message is not called %s", code, code.MessageKey())
		}
	}
	// The operations that are built may answer with InvalidRequestException and
	// ThrottledException, and so the model must know them there.
	for name, op := range m.Operations {
		if _, ok := operations[strings.TrimPrefix(op.HTTP.RequestURI, "/")]; !ok {
			continue
		}
		var errs []string
		for _, e := range op.Errors {
			errs = append(errs, e.Shape)
		}
		for _, code := range modelled[:2] {
			if !slices.Contains(errs, string(code)) {
				t.Errorf("%s does not model %s", name, code)
			}
		}
	}
}

// TestAnswerKeys checks that the keys of answers are the model's.
func TestAnswerKeys(t *testing.T) {
	m := readModel(t)
	extra := map[string]bool{ // seen in the service's answers, or ours by design
		"MatchedEdge": true, "MatchedService": true, "CompositeConfiguration": true,
		"HostedIn": true, "KeyAttributes": true, "Region": true,
	}
	var walk func(path, name string, v any)
	walk = func(path, name string, v any) {
		sh := m.Shapes[name]
		switch v := v.(type) {
		case map[string]any:
			if sh.Type == "map" {
				return
			}
			for key, e := range v {
				ref, ok := sh.Members[key]
				if !ok {
					if !extra[key] {
						t.Errorf("%s.%s is not in the model", path, key)
					}
					continue
				}
				walk(path+"."+key, ref.Shape, e)
			}
			for key := range sh.Members {
				if _, ok := v[key]; !ok && !optionalAnswer[key] {
					t.Errorf("%s lacks %s", path, key)
				}
			}
		case []any:
			for _, e := range v {
				walk(path+"[]", sh.Member.Shape, e)
			}
		}
	}
	for path, answer := range sampleAnswers(t) {
		var v any
		if err := json.Unmarshal([]byte(answer), &v); err != nil {
			t.Fatalf("%s: %v: %s", path, err, answer)
		}
		for name, op := range m.Operations {
			if op.HTTP.RequestURI == path {
				walk(name, op.Output.Shape, v)
			}
		}
	}
}

// optionalAnswer are keys of the newest model that the service leaves out when
// there is nothing to say.
var optionalAnswer = map[string]bool{
	"SamplingBoost": true, "SamplingRateBoost": true, "UnprocessedBoostStatistics": true,
	"EdgeType": true, "ReceivedEventAgeHistogram": true, "FaultCountHigh": true, "FaultCountLow": true,
}
