package xrayapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// modelShape is a shape of the service model.
type modelShape struct {
	Type       string
	Required   []string
	Members    map[string]struct{ Shape string }
	Member     struct{ Shape string }
	Key, Value struct{ Shape string }
	Min, Max   *float64
	Pattern    string
	Enum       []string
	Exception  bool
	Error      struct{ HTTPStatusCode int }
}

type modelOperation struct {
	HTTP          struct{ Method, RequestURI string }
	Input, Output struct{ Shape string }
	Errors        []struct{ Shape string }
}

type serviceModel struct {
	Operations map[string]modelOperation
	Shapes     map[string]modelShape
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
	if len(m.Operations) != 38 {
		t.Fatalf("the model has %d operations", len(m.Operations))
	}
	return &m
}

// each calls fn for every operation of the model, by name, in a test of its own.
func (m *serviceModel) each(t *testing.T, fn func(t *testing.T, name string, op modelOperation)) {
	names := make([]string, 0, len(m.Operations))
	for name := range m.Operations {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) { fn(t, name, m.Operations[name]) })
	}
}

// TestContract compares the table of operations with the service model: every
// operation is there under its path, with all its members, their types and
// constraints, and nothing else is.
func TestContract(t *testing.T) {
	m := readModel(t)
	m.each(t, func(t *testing.T, name string, op modelOperation) {
		if op.HTTP.Method != "POST" {
			t.Errorf("it is %s in the model", op.HTTP.Method)
		}
		ours, isBuilt := operations[strings.TrimPrefix(op.HTTP.RequestURI, "/")]
		if !isBuilt {
			t.Fatalf("nothing answers %s", op.HTTP.RequestURI)
		}
		if ours.name != name {
			t.Errorf("it is called %s", ours.name)
		}
		m.compare(t, name, op.Input.Shape, ours.input)
	})
	for path, op := range operations {
		if m.Operations[op.name].HTTP.RequestURI != "/"+path {
			t.Errorf("the model has no %s at %s", op.name, path)
		}
	}
}

var modelKinds = map[string]kind{
	"string": kString, "integer": kInt, "double": kDouble, "boolean": kBool,
	"timestamp": kTime, "list": kList, "map": kMap, "structure": kStruct,
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
		if model != nil && (*model != 0 || isNumber(want.Type)) != has || has && (model == nil || *model != have) {
			t.Errorf("%s: %s %v (%t), model %v", path, what, have, has, model)
		}
	}
	bound("min", want.Min, sh.hasMin, sh.min)
	bound("max", want.Max, sh.hasMax, sh.max)
	have := ""
	if sh.pattern != nil {
		have = sh.pattern.text
	}
	if have != want.Pattern {
		t.Errorf("%s: pattern %q, model %q", path, have, want.Pattern)
	}
	a, b := slices.Sorted(slices.Values(want.Enum)), slices.Sorted(slices.Values(sh.enum))
	if !slices.Equal(a, b) {
		t.Errorf("%s: enum %v, model %v", path, b, a)
	}
	switch want.Type {
	case "list":
		m.compare(t, path+"[]", want.Member.Shape, sh.elem)
	case "map":
		m.compare(t, path+"{key}", want.Key.Shape, sh.key)
		m.compare(t, path+"{value}", want.Value.Shape, sh.elem)
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
		for member := range want.Members {
			if !slices.ContainsFunc(sh.members, func(have namedMember) bool { return have.name == member }) {
				t.Errorf("%s: there is no %s", path, member)
			}
		}
	}
}

type namedMember = member

func isNumber(modelType string) bool { return modelType == "integer" || modelType == "double" }

// TestConstraints is made from the model: it sends each operation a request with
// all members, and then one for each way in which one member can be wrong.
func TestConstraints(t *testing.T) {
	m := readModel(t)
	h := contractServer(t, nil).handler
	sent := 0
	m.each(t, func(t *testing.T, name string, op modelOperation) {
		if op.Input.Shape == "" || len(m.Shapes[op.Input.Shape].Members) == 0 {
			return
		}
		if operations[strings.TrimPrefix(op.HTTP.RequestURI, "/")] == nil {
			t.Fatalf("nothing answers %s", op.HTTP.RequestURI)
		}
		send := func(body any) (string, string) {
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("POST", op.HTTP.RequestURI, strings.NewReader(string(text))))
			sent++
			if w.Code != http.StatusOK && len(w.Header()["x-amzn-errortype"]) == 1 {
				return w.Header()["x-amzn-errortype"][0], w.Body.String()
			}
			return "", w.Body.String()
		}
		whole := m.valid(t, op.Input.Shape)
		if code, answer := send(whole); code == string(apierr.Validation) || code == string(apierr.Serialization) {
			t.Fatalf("a request within all constraints: %s %s", code, answer)
		}
		m.spoil(t, op.Input.Shape, "", whole, func(body any) any { return body }, func(body any, code apierr.Code, want string) {
			got, answer := send(body)
			var text struct{ Message, LowerMessage string }
			_ = json.Unmarshal([]byte(strings.Replace(answer, `{"message"`, `{"LowerMessage"`, 1)), &text)
			message := text.Message
			if code == apierr.Validation {
				message = text.LowerMessage
			}
			if got != string(code) || message != want {
				request, _ := json.Marshal(body)
				t.Errorf("%.200s:\n%s %s\nwant %s %q", request, got, answer, code, want)
			}
		})
	})
	if sent < 350 {
		t.Errorf("only %d requests", sent)
	}
}

// valid returns a value of a shape, with all its members, within all constraints.
func (m *serviceModel) valid(t *testing.T, name string) any {
	t.Helper()
	sh := m.Shapes[name]
	switch sh.Type {
	case "string":
		switch {
		case len(sh.Enum) > 0:
			return sh.Enum[0]
		case name == "InsightId":
			return "01234567-89ab-4def-8123-456789abcdef"
		case sh.Min != nil && *sh.Min > 0:
			return strings.Repeat("p", int(*sh.Min))
		}
		return "p"
	case "integer", "double":
		if sh.Min != nil {
			return *sh.Min
		}
		return 1.0
	case "timestamp":
		return 1.0
	case "boolean":
		return true
	case "list":
		return []any{m.valid(t, sh.Member.Shape)}
	case "map":
		return map[string]any{"p": m.valid(t, sh.Value.Shape)}
	case "structure":
		v := map[string]any{}
		for member, ref := range sh.Members {
			v[member] = m.valid(t, ref.Shape)
		}
		return v
	}
	t.Fatalf("%s has type %s", name, sh.Type)
	return nil
}

// spoil calls try with requests in each of which one constraint below path is
// violated; put makes a whole request with another value in that place.
func (m *serviceModel) spoil(t *testing.T, name, path string, whole any, put func(any) any, try func(body any, code apierr.Code, want string)) {
	t.Helper()
	sh := m.Shapes[name]
	one := func(shown any, at, rule string) string {
		text := "null"
		if shown != nil {
			text = fmt.Sprintf("'%v'", shown)
		}
		return "1 validation error detected: Value " + text + " at '" + at + "' failed to satisfy constraint: " + rule
	}
	if path != "" {
		wrong, text := map[string]any{"x": 1}, "Start of structure or map found where not expected."
		switch sh.Type {
		case "structure", "map":
			try(put([]any{}), apierr.Serialization, "Start of list found where not expected")
			try(put(1), apierr.Serialization, "Expected null")
		case "list":
			try(put(wrong), apierr.Serialization, text)
			try(put("x"), apierr.Serialization, "Expected list or null")
		default:
			try(put(wrong), apierr.Serialization, text)
			token, v := "STRING_VALUE", any("x")
			if sh.Type == "string" {
				token, v = "NUMBER_VALUE", 7
			}
			java := map[string]string{"string": "a String", "integer": "an Integer", "double": "a Double", "boolean": "a Boolean", "timestamp": "milliseconds since epoch"}
			try(put(v), apierr.Serialization, token+" can not be converted to "+java[sh.Type])
		}
	}
	switch sh.Type {
	case "string":
		text := whole.(string)
		switch {
		case len(sh.Enum) > 0:
			// In which order the service lists the values is known of two enums only.
			ours := m.enumOf(t, name, path)
			try(put("nonsense"), apierr.Validation, one("nonsense", path, "Member must satisfy enum value set: ["+strings.Join(ours, ", ")+"]"))
			return
		case sh.Pattern != "":
			try(put(text+"/"), apierr.Validation, one(text+"/", path, "Member must satisfy regular expression pattern: "+sh.Pattern))
		case sh.Min != nil && *sh.Min > 0:
			short := strings.Repeat("p", int(*sh.Min)-1)
			try(put(short), apierr.Validation, one(short, path, "Member must have length greater than or equal to "+number(*sh.Min)))
		}
		if sh.Max != nil {
			long := strings.Repeat("p", int(*sh.Max)+1)
			shown := long
			if len(shown) > maxEchoedValue {
				shown = shown[:maxEchoedValue] + "..."
			}
			try(put(long), apierr.Validation, one(shown, path, "Member must have length less than or equal to "+number(*sh.Max)))
		}
		return
	case "integer", "double":
		show := func(f float64) string {
			if sh.Type == "double" {
				return string(appendDouble(nil, f))
			}
			return number(f)
		}
		if sh.Min != nil {
			try(put(*sh.Min-1), apierr.Validation, one(show(*sh.Min-1), path, "Member must have value greater than or equal to "+number(*sh.Min)))
		}
		if sh.Max != nil {
			try(put(*sh.Max+1), apierr.Validation, one(show(*sh.Max+1), path, "Member must have value less than or equal to "+number(*sh.Max)))
		}
	case "list":
		list := whole.([]any)
		try(put([]any{nil}), apierr.Validation, one(nil, path+".1.member", "Member must not be null"))
		if sh.Max != nil {
			long := make([]any, int(*sh.Max)+1)
			for i := range long {
				long[i] = list[0]
			}
			// What is shown of so long a list is told by its beginning.
			try(put(long), apierr.Validation, one(shownList(long), path, "Member must have length less than or equal to "+number(*sh.Max)))
		}
		m.spoil(t, sh.Member.Shape, path+".1.member", list[0], func(v any) any { return put([]any{v}) }, try)
	case "map":
		key, value := m.Shapes[sh.Key.Shape], m.Shapes[sh.Value.Shape]
		rules := func(sh modelShape) string {
			return "[Member must have length less than or equal to " + number(*sh.Max) + ", Member must have length greater than or equal to " + number(*sh.Min) + "]"
		}
		long := strings.Repeat("p", int(*key.Max)+1)
		try(put(map[string]any{long: "p"}), apierr.Validation, one("{"+long+"=p}", path, "Map keys must satisfy constraint: "+rules(key)))
		long = strings.Repeat("p", int(*value.Max)+1)
		try(put(map[string]any{"k": long}), apierr.Validation, one("{k="+long+"}", path, "Map value must satisfy constraint: "+rules(value)))
		many, shown := map[string]any{}, []string{}
		for i := range int(*sh.Max) + 1 {
			many[strconv.Itoa(i)] = "v"
			shown = append(shown, strconv.Itoa(i)+"=v")
		}
		try(put(many), apierr.Validation, one("{"+strings.Join(shown, ", ")+"}", path, "Member must have length less than or equal to "+number(*sh.Max)))
	case "structure":
		fields := whole.(map[string]any)
		for member, ref := range sh.Members {
			at := strings.ToLower(member[:1]) + member[1:]
			if path != "" {
				at = path + "." + at
			}
			with := func(v any) any {
				changed := map[string]any{}
				for k, old := range fields {
					changed[k] = old
				}
				changed[member] = v
				return put(changed)
			}
			if slices.Contains(sh.Required, member) {
				try(with(nil), apierr.Validation, one(nil, at, "Member must not be null"))
			}
			m.spoil(t, ref.Shape, at, fields[member], with, try)
		}
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// enumOf finds the values of an enum in the order of the table of operations.
func (m *serviceModel) enumOf(t *testing.T, name, path string) []string {
	t.Helper()
	want := slices.Sorted(slices.Values(m.Shapes[name].Enum))
	var find func(sh *shape) []string
	find = func(sh *shape) []string {
		if slices.Equal(slices.Sorted(slices.Values(sh.enum)), want) {
			return sh.enum
		}
		if sh.elem != nil {
			return find(sh.elem)
		}
		for _, member := range sh.members {
			if found := find(member.shape); found != nil {
				return found
			}
		}
		return nil
	}
	for _, op := range operations {
		if found := find(op.input); found != nil {
			return found
		}
	}
	t.Errorf("%s: no enum like %v", path, want)
	return nil
}

// shownList is how a long list is echoed.
func shownList(list []any) string {
	var parts []string
	for i, e := range list {
		if i == maxEchoedInList {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, shownElement(e))
	}
	text := "[" + strings.Join(parts, ", ") + "]"
	if len(text) > maxEchoedValue {
		text = text[:maxEchoedValue] + "..."
	}
	return text
}

// shownElement is how an element of a list is echoed; of a structure the members
// are in the order of our table, so they are looked up there.
func shownElement(e any) string {
	fields, ok := e.(map[string]any)
	if !ok {
		return fmt.Sprint(e)
	}
	for _, sh := range []*shape{tagShape, samplingStatistics, samplingBoostStatistics} {
		if len(sh.members) != len(fields) {
			continue
		}
		var parts []string
		for _, member := range sh.members {
			v, ok := fields[member.name]
			if !ok {
				break
			}
			text := fmt.Sprint(v)
			if member.shape.kind == kTime {
				text = string(appendDouble(nil, v.(float64)))
			}
			parts = append(parts, member.name+"="+text)
		}
		if len(parts) == len(fields) {
			return "{" + strings.Join(parts, ", ") + "}"
		}
	}
	return fmt.Sprint(e)
}
