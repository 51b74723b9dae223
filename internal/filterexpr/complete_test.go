package filterexpr

import (
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	for _, test := range []struct {
		text     string // the cursor is at '|'
		kind     CompletionKind
		key      string
		prefix   string
		replaced string // what is replaced
		words    string // some of the words offered, in order
		without  string // a word that is not
	}{
		{`|`, CompleteKeyword, "", "", "", "NOT ( ok annotation. service( rootcause.json", "AND"},
		{`fa|`, CompleteKeyword, "", "fa", "fa", "fault", "ok"},
		{`FA|ul AND ok`, CompleteKeyword, "", "FA", "FAul", "fault", "ok"},
		{`fault |`, CompleteOperator, "", "", "", "= != AND OR NOT ok service(", "CONTAINS"},
		{`http.url |`, CompleteOperator, "", "", "", "= != CONTAINS BEGINSWITH ENDSWITH AND", "<"},
		{`duration |`, CompleteOperator, "", "", "", "= != < <= > >= AND", "CONTAINS"},
		{`annotation.k |`, CompleteOperator, "", "", "", "= != < >= CONTAINS AND", "}"},
		{`http.url CON|`, CompleteOperator, "", "CON", "CON", "CONTAINS", "AND"},
		{`http.url = |`, CompleteURL, "", "", "", "", "true"},
		{`http.url = "htt|`, CompleteURL, "", "htt", `"htt`, "", ""},
		{`http.url = "htt|p://x" AND ok`, CompleteURL, "", "htt", `"http://x"`, "", ""},
		{`http.url = "htt| AND user = "x"`, CompleteURL, "", "htt", `"htt`, "", ""},
		{`user = 'o\'n|`, CompleteUser, "", "o'n", `'o\'n`, "", ""},
		{`user = al|`, CompleteUser, "", "al", "al", "", ""},
		{`user = "al" |`, CompleteKeyword, "", "", "", "AND OR", "="},
		{`http.status = 4|`, CompleteStatus, "", "4", "4", "", ""},
		{`duration > |`, CompleteNumber, "", "", "", "", ""},
		{`fault = |`, CompleteBool, "", "", "", "true false", ""},
		{`fault = t|`, CompleteBool, "", "t", "t", "true", "false"},
		{`http.method = |`, CompleteMethod, "", "", "", "", ""},
		{`annotation.|`, CompleteAnnotationKey, "", "", "annotation.", "", ""},
		{`ok and Annotation.ga|me = 1`, CompleteAnnotationKey, "", "ga", "Annotation.game", "", ""},
		{`annotation[|`, CompleteAnnotationKey, "", "", "annotation[", "", ""},
		{`ok annotation[aws.l|ocal] = 1`, CompleteAnnotationKey, "", "aws.l", "annotation[aws.local]", "", ""},
		{`annotation["two w|`, CompleteAnnotationKey, "", "two w", `annotation["two w`, "", ""},
		{`annotation.game = |`, CompleteAnnotationValue, "game", "", "", "true false", ""},
		{`annotation[a.b] = "x|`, CompleteAnnotationValue, "a.b", "x", `"x`, "", ""},
		{`annotation.n CONTAINS 5|`, CompleteAnnotationValue, "n", "5", "5", "", ""},
		{`service|`, CompleteKeyword, "", "service", "service", "service(", ""},
		{`service |`, CompleteKeyword, "", "", "", "(", "="},
		{`service(|`, CompleteServiceName, "", "", "", "id( )", "ok"},
		{`service("sh|`, CompleteServiceName, "", "sh", `"sh`, "", ""},
		{`service(id(|`, CompleteKeyword, "", "", "", "name: type: account.id:", "ok"},
		{`service(id(ty|`, CompleteKeyword, "", "ty", "ty", "type:", "name:"},
		{`service(id(type |`, CompleteKeyword, "", "", "", ":", ""},
		{`service(id(type: "AWS::|`, CompleteServiceType, "", "AWS::", `"AWS::`, "", ""},
		{`service(id(name: |`, CompleteServiceName, "", "", "", "", ""},
		{`service(id(account.id: |`, CompleteAccount, "", "", "", "", ""},
		{`service(id(name: "x" |`, CompleteKeyword, "", "", "", ", )", "ok"},
		{`service("x"|`, CompleteKeyword, "", "", "", ")", "AND"},
		{`service("x")|`, CompleteKeyword, "", "", "", "{ AND OR ok", ")"},
		{`service("x") { |`, CompleteKeyword, "", "", "", "NOT ok root annotation.", "service("},
		{`service("x") { fault |`, CompleteOperator, "", "", "", "= } AND", ")"},
		{`edge("a"|`, CompleteKeyword, "", "", "", ",", ")"},
		{`edge("a", |`, CompleteServiceName, "", "", "", "id( )", ""},
		{`(fault |`, CompleteOperator, "", "", "", "= ) AND", "}"},
		{`group.name = |`, CompleteGroupName, "", "", "", "", ""},
		{`group.name |`, CompleteOperator, "", "", "", "= !=", "<"},
		{`group.arn = "x|`, CompleteGroupARN, "", "x", `"x`, "", ""},
		{`rootcause.f|`, CompleteKeyword, "", "rootcause.f", "rootcause.f", "rootcause.fault.service rootcause.fault.exception", "rootcause.json"},
		{`rootcause.fault.exception { |`, CompleteKeyword, "", "", "", "first name message", "type"},
		{`rootcause.fault.exception { message = |`, CompleteMessage, "", "", "", "", ""},
		{`rootcause.fault.exception { name = |`, CompleteExceptionName, "", "", "", "", ""},
		{`rootcause.fault.entity { name = |`, CompleteEntityName, "", "", "", "", ""},
		{`rootcause.json = |`, CompleteJSON, "", "", "", "#[", ""},
		{`name = |`, CompleteServiceName, "", "", "", "", ""},
		{`fault ) |`, CompleteNothing, "", "", "", "", ""},
		{`madeup = |`, CompleteNothing, "", "", "", "", ""},
		{`"x|`, CompleteNothing, "", "", "", "", ""},
		{`fault = "tr|`, CompleteNothing, "", "tr", `"tr`, "", ""},
	} {
		cursor := strings.IndexByte(test.text, '|')
		text := test.text[:cursor] + test.text[cursor+1:]
		c := Complete(text, cursor)
		if c.Kind != test.kind || c.Key != test.key || c.Prefix != test.prefix || text[c.Start:c.End] != test.replaced {
			t.Errorf("%s: got %q key %q prefix %q for %q", test.text, c.Kind, c.Key, c.Prefix, text[c.Start:c.End])
		}
		var offered []string
		for _, s := range c.Keywords {
			offered = append(offered, strings.TrimSpace(s.Text))
			if s.Detail == "" {
				t.Errorf("%s: %s without a detail", test.text, s.Text)
			}
			if s.Text == test.without {
				t.Errorf("%s: offers %s", test.text, s.Text)
			}
		}
		rest := offered
		for _, word := range strings.Fields(test.words) {
			i := 0
			for i < len(rest) && rest[i] != word {
				i++
			}
			if i == len(rest) {
				t.Errorf("%s: %s is missing or out of order in %q", test.text, word, offered)
				break
			}
			rest = rest[i+1:]
		}
		if test.words == "" && len(c.Keywords) > 0 {
			t.Errorf("%s: offers %q", test.text, offered)
		}
	}
}

// TestCompleteParses holds that a text with an offered word in it is wrong, if
// at all, only behind that word.
func TestCompleteParses(t *testing.T) {
	for _, text := range []string{``, `ok `, `(`, `service("x") { `, `http.url `, `fault = `, `service(`, `edge("a", id(`, `rootcause.responsetime.entity { `, `!`, `annotation.k != `, `rootcause.json = `} {
		c := Complete(text, len(text))
		if len(c.Keywords) == 0 {
			t.Errorf("%s: nothing is offered", text)
		}
		for _, s := range c.Keywords {
			whole := text + s.Text
			if _, err := Parse(whole + " "); err != nil {
				e := err.(*Error)
				if e.Offset < len(strings.TrimSpace(whole)) && s.Text != "annotation." && s.Text != "#[" {
					t.Errorf("%s is offered after %s, but: %v", s.Text, text, err)
				}
			}
		}
	}
}
