package xrayapi

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNormalPolicy(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{ "Statement" : [ { "Action" : [ "a" ] } , {"Action":["b","c"]} ] }`, `{"Statement":[{"Action":"a"},{"Action":["b","c"]}]}`},
		{`{"Action":[]}`, `{"Action":[]}`},
		{`{"Action":[1]}`, `{"Action":[1]}`},
		{`{"Action":[["a"]]}`, `{"Action":[["a"]]}`},
		{`{"NotAction":["a"],"Resource":["b"]}`, `{"NotAction":["a"],"Resource":["b"]}`},
		{`{"Action":["a, ] \" \u005d"],"x":["Action",["y"]]}`, `{"Action":"a, ] \" \u005d","x":["Action",["y"]]}`},
		{`{"Action":["a"],"Action":["b"]}`, `{"Action":"a","Action":"b"}`},
		{`{"x":{"Action":{"Action":["a"]}},"y":"Action","z":["b"]}`, `{"x":{"Action":{"Action":"a"}},"y":"Action","z":["b"]}`},
		{`["Action",["a"]]`, `["Action",["a"]]`},
	} {
		if got := normalPolicy(c.text); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestWildcard(t *testing.T) {
	for pattern, texts := range map[string]string{
		"*": "+ +a", "a*": "+a +ab -b -", "*a": "+a +ba -ab", "a?c": "+abc -ac -abbc", "a*b*c": "+abc +axbxc +abcbc -ab -abcd",
		"": "+ -a", "**": "+ +x", "a": "+a -aa", "*a*a*": "+aa +xaxax -a", "?": "+x - -xx",
	} {
		for _, text := range strings.Split(texts, " ") {
			if got, want := wildcard(pattern, text[1:]), text[0] == '+'; got != want {
				t.Errorf("%q against %q: %t", pattern, text[1:], got)
			}
		}
	}
	// One that would take for ever if it went back at every star.
	if wildcard(strings.Repeat("a*", 1000)+"b", strings.Repeat("a", 5000)) {
		t.Error("matched")
	}
}

// FuzzPolicy reads anything as a policy. What is taken is valid JSON without white
// space, and stays as it is when it is read again.
func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"s"},"Action":["a"],"Resource":"*"}]}`,
		`{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":[]},"NotAction":["a","b"],"NotResource":["c"],"Condition":{"x":{"Action":["y"]}}}}`,
		`{`, `[]`, `{"Statement":[null]}`, `{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		document, p, err := readPolicy(text)
		if err != nil {
			return
		}
		p.deniesPutting("000000000000")
		again, _, err := readPolicy(document)
		if err != nil || again != document || !json.Valid([]byte(document)) {
			t.Errorf("%q\n%q\n%q, %v", text, document, again, err)
		}
	})
}
