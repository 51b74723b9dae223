package xrayapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore/crashtest"
)

// exchange is a request and its whole answer.
type wireExchange struct{ name, path, body, code, answer string }

func (f *fixture) exchanges(t *testing.T, list []wireExchange) {
	t.Helper()
	for _, c := range list {
		status, code, answer := f.post(t, c.path, c.body)
		if code != c.code || answer != c.answer || (status == 200) != (code == "") {
			t.Errorf("%s: %d %s\n got %s\nwant %s", c.name, status, code, answer, c.answer)
		}
	}
}

const (
	invalidRequest = "InvalidRequestException"
	notFound       = "ResourceNotFoundException"
)

func TestEncryptionAnswers(t *testing.T) {
	f := serve(t, nil, nil)
	config := func(key, status, typ string) string {
		return `{"EncryptionConfig":{"KeyId":` + key + `,"Status":"` + status + `","Type":"` + typ + `"}}`
	}
	f.exchanges(t, []wireExchange{
		{"at first", "/EncryptionConfig", "", "", config("null", "ACTIVE", "NONE")},
		{"without key", "/PutEncryptionConfig", `{"Type":"KMS"}`, invalidRequest, `{"Message":"A key id is required for encryption of type KMS"}`},
		{"needless key", "/PutEncryptionConfig", `{"Type":"NONE","KeyId":"x"}`, invalidRequest, `{"Message":"A key id is not allowed for encryption of type NONE"}`},
		{"no key", "/PutEncryptionConfig", `{"Type":"KMS","KeyId":"a b"}`, invalidRequest, `{"Message":"a b is neither the id nor the alias nor the ARN of a KMS key"}`},
		{"empty alias", "/PutEncryptionConfig", `{"Type":"KMS","KeyId":"alias/"}`, invalidRequest, `{"Message":"alias/ is neither the id nor the alias nor the ARN of a KMS key"}`},
		{"other ARN", "/PutEncryptionConfig", `{"Type":"KMS","KeyId":"arn:aws:s3:::bucket"}`, invalidRequest, `{"Message":"arn:aws:s3:::bucket is not the ARN of a KMS key"}`},
		{"other type", "/PutEncryptionConfig", `{"Type":"AES"}`, "ValidationException", violation + `Value 'AES' at 'type'` + constraint + `Member must satisfy enum value set: [NONE, KMS]"}`},
		{"id", "/PutEncryptionConfig", `{"Type":"KMS","KeyId":"1234abcd-12ab"}`, "", config(`"arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab"`, "UPDATING", "KMS")},
		{"afterwards", "/EncryptionConfig", "{}", "", config(`"arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab"`, "ACTIVE", "KMS")},
		{"ARN", "/PutEncryptionConfig", `{"Type":"KMS","KeyId":"arn:aws:kms:eu-west-1:111122223333:key/1"}`, "", config(`"arn:aws:kms:eu-west-1:111122223333:key/1"`, "UPDATING", "KMS")},
		{"off again", "/PutEncryptionConfig", `{"Type":"NONE"}`, "", config("null", "UPDATING", "NONE")},
	})
}

func TestDestinationAnswers(t *testing.T) {
	f := serve(t, nil, nil)
	to := func(name, status string) string {
		return `{"CompositeConfiguration":null,"Destination":"` + name + `","Status":"` + status + `"}`
	}
	f.exchanges(t, []wireExchange{
		{"at first", "/GetTraceSegmentDestination", "", "", to("XRay", "ACTIVE")},
		{"what it is", "/UpdateTraceSegmentDestination", `{"Destination":"XRay"}`, "", to("XRay", "ACTIVE")},
		{"another", "/UpdateTraceSegmentDestination", `{"Destination":"CloudWatchLogs"}`, "", to("CloudWatchLogs", "PENDING")},
		{"afterwards", "/GetTraceSegmentDestination", "", "", to("CloudWatchLogs", "ACTIVE")},
		{"none", "/UpdateTraceSegmentDestination", `{}`, invalidRequest, `{"Message":"Destination is required"}`},
	})
	// Documents stay readable here, wherever they are meant to go.
	f.put(t, `{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000aa","name":"x","start_time":1,"end_time":2}`)
	if _, _, answer := f.post(t, "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567"]}`); !strings.Contains(answer, "00000000000000aa") {
		t.Error(answer)
	}
}

func TestIndexingAnswers(t *testing.T) {
	f := serve(t, nil, nil)
	rule := func(modified, desired string) string {
		return `{"ModifiedAt":` + modified + `,"Name":"Default","Rule":{"Probabilistic":{"ActualSamplingPercentage":100.0,"DesiredSamplingPercentage":` + desired + `}}}`
	}
	update := func(percentage string) string {
		return `{"Name":"Default","Rule":{"Probabilistic":{"DesiredSamplingPercentage":` + percentage + `}}}`
	}
	const bounds = `{"Message":"Desired sampling percentage must be between 0 and 100"}`
	f.exchanges(t, []wireExchange{
		{"at first", "/GetIndexingRules", "", "", `{"IndexingRules":[` + rule("0.0", "1.0") + `],"NextToken":null}`},
		{"token", "/GetIndexingRules", `{"NextToken":"x"}`, invalidRequest, `{"Message":"Invalid token x"}`},
		{"too little", "/UpdateIndexingRule", update("-0.5"), invalidRequest, bounds},
		{"too much", "/UpdateIndexingRule", update("100.5"), invalidRequest, bounds},
		{"no rule", "/UpdateIndexingRule", `{"Name":"Default","Rule":{"Other":{}}}`, invalidRequest, `{"Message":"Rule must have exactly one member: Probabilistic"}`},
		{"nothing", "/UpdateIndexingRule", `{"Name":"Default","Rule":{"Probabilistic":{}}}`, "ValidationException", violation + `Value null at 'rule.probabilistic.desiredSamplingPercentage'` + constraint + `Member must not be null"}`},
		{"other rule", "/UpdateIndexingRule", strings.Replace(update("1"), "Default", "default", 1), notFound, `{"Message":"Indexing rule default not found","ResourceName":"default"}`},
		{"none", "/UpdateIndexingRule", update("0"), "", `{"IndexingRule":` + rule("1.795356E9", "0.0") + `}`},
		{"afterwards", "/GetIndexingRules", "", "", `{"IndexingRules":[` + rule("1.795356E9", "0.0") + `],"NextToken":null}`},
	})
}

func TestInsightAnswers(t *testing.T) {
	f := serve(t, nil, nil)
	const id = `"InsightId":"01234567-89ab-4def-8123-456789ABCDEF"`
	f.exchanges(t, []wireExchange{
		{"none", "/InsightSummaries", `{"GroupName":"Default","StartTime":1,"EndTime":2,"States":["CLOSED"],"MaxResults":100}`, "", `{"InsightSummaries":[],"NextToken":null}`},
		{"by ARN", "/InsightSummaries", `{"GroupARN":"arn:aws:xray:us-east-1:000000000000:group/Default","StartTime":1,"EndTime":1}`, "", `{"InsightSummaries":[],"NextToken":null}`},
		{"no group", "/InsightSummaries", `{"StartTime":1,"EndTime":2}`, invalidRequest, `{"Message":"Provide either GroupName or GroupARN"}`},
		{"both", "/InsightSummaries", `{"GroupName":"Default","GroupARN":"x","StartTime":1,"EndTime":2}`, invalidRequest, `{"Message":"Provide either GroupName or GroupARN"}`},
		{"unknown group", "/InsightSummaries", `{"GroupName":"x","StartTime":1,"EndTime":2}`, invalidRequest, `{"Message":"Group not found"}`},
		{"backwards", "/InsightSummaries", `{"GroupName":"Default","StartTime":2,"EndTime":1}`, invalidRequest, `{"Message":"End time cannot be earlier than start time"}`},
		{"token", "/InsightSummaries", `{"GroupName":"Default","StartTime":1,"EndTime":2,"NextToken":"x"}`, invalidRequest, `{"Message":"Invalid token x"}`},
		{"two states", "/InsightSummaries", `{"GroupName":"Default","StartTime":1,"EndTime":2,"States":["ACTIVE","CLOSED"]}`, "ValidationException", violation + `Value '[ACTIVE, CLOSED]' at 'states'` + constraint + `Member must have length less than or equal to 1"}`},
		{"insight", "/Insight", `{` + id + `}`, invalidRequest, `{"Message":"Insight not found"}`},
		{"events", "/InsightEvents", `{` + id + `,"MaxResults":50}`, invalidRequest, `{"Message":"Insight not found"}`},
		{"graph", "/InsightImpactGraph", `{` + id + `,"StartTime":1,"EndTime":2}`, invalidRequest, `{"Message":"Insight not found"}`},
		{"graph backwards", "/InsightImpactGraph", `{` + id + `,"StartTime":2,"EndTime":1}`, invalidRequest, `{"Message":"End time cannot be earlier than start time"}`},
		{"many results and no id", "/InsightEvents", `{"InsightId":"x","MaxResults":51}`, "ValidationException", `{"message":"2 validation errors detected: Value 'x' at 'insightId'` + constraint +
			`Member must satisfy regular expression pattern: [0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}; Value '51' at 'maxResults'` + constraint + `Member must have value less than or equal to 50"}`},
	})
}

func TestTagAnswers(t *testing.T) {
	f := serveGroups(t, "", nil)
	_, _, answer := f.post(t, "/CreateGroup", `{"GroupName":"g","FilterExpression":"ok","Tags":[{"Key":"b","Value":"1"}]}`)
	var made struct{ Group struct{ GroupARN string } }
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		t.Fatal(err)
	}
	arn := made.Group.GroupARN
	on := func(rest string) string { return `{"ResourceARN":"` + arn + `"` + rest + `}` }
	tags := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`{"Key":"k%d","Value":""}`, i))
		}
		return `,"Tags":[` + strings.Join(list, ",") + `]`
	}
	const many = `{"Message":"The resultant tag set must not have more than 50 user tags."}`
	f.exchanges(t, []wireExchange{
		{"of the group", "/ListTagsForResource", on(`,"NextToken":"ignored"`), "", `{"NextToken":null,"Tags":[{"Key":"b","Value":"1"}]}`},
		{"set and replace", "/TagResource", on(`,"Tags":[{"Key":"b","Value":"2"},{"Key":"B","Value":""},{"Key":"e@mail","Value":"a@b"}]`), "", `{}`},
		{"nothing", "/TagResource", on(`,"Tags":[]`), "", `{}`},
		{"listed", "/ListTagsForResource", on(""), "", `{"NextToken":null,"Tags":[{"Key":"B","Value":""},{"Key":"b","Value":"2"},{"Key":"e@mail","Value":"a@b"}]}`},
		{"twice", "/TagResource", on(`,"Tags":[{"Key":"d","Value":"1"},{"Key":"d","Value":"2"}]`), invalidRequest, `{"Message":"Duplicate tag key d"}`},
		{"system", "/TagResource", on(`,"Tags":[{"Key":"aws:x","Value":"1"}]`), invalidRequest, `{"Message":"Caller is an end user and not allowed to mutate system tags"}`},
		{"too many in all", "/TagResource", on(tags(48)), invalidRequest, many},
		{"too many at once", "/TagResource", on(tags(51)), invalidRequest, many},
		{"unset", "/UntagResource", on(`,"TagKeys":["b","none"]`), "", `{}`},
		{"unset a system tag", "/UntagResource", on(`,"TagKeys":["aws:x"]`), invalidRequest, `{"Message":"Caller is an end user and not allowed to mutate system tags"}`},
		{"50", "/TagResource", on(tags(48)), "", `{}`},
		{"unknown", "/TagResource", `{"ResourceARN":"arn:x","Tags":[]}`, notFound, `{"Message":"Resource arn:x not found","ResourceName":"arn:x"}`},
		{"unknown comes first", "/TagResource", `{"ResourceARN":"arn:x","Tags":[{"Key":"aws:x","Value":"1"}]}`, notFound, `{"Message":"Resource arn:x not found","ResourceName":"arn:x"}`},
		{"no ARN", "/TagResource", `{"Tags":[]}`, "ValidationException", violation + `Value null at 'resourceARN'` + constraint + `Member must not be null"}`},
		{"the Default rule", "/TagResource", `{"ResourceARN":"arn:aws:xray:us-west-2:000000000000:sampling-rule/Default","Tags":[{"Key":"a","Value":"b"}]}`, "", `{}`},
		{"its tags", "/ListTagsForResource", `{"ResourceARN":"arn:aws:xray:us-west-2:000000000000:sampling-rule/Default"}`, "", `{"NextToken":null,"Tags":[{"Key":"a","Value":"b"}]}`},
		{"gone", "/DeleteGroup", `{"GroupName":"g"}`, "", `{}`},
		{"of what is gone", "/ListTagsForResource", on(""), notFound, `{"Message":"Resource ` + arn + ` not found","ResourceName":"` + arn + `"}`},
	})
}

func TestPolicyAnswers(t *testing.T) {
	f := serve(t, nil, nil)
	put := func(document, more string) string {
		text, _ := json.Marshal(document)
		return `{"PolicyName":"p","PolicyDocument":` + string(text) + more + `}`
	}
	stored := func(revision, document string) string {
		text, _ := json.Marshal(document)
		return `{"LastUpdatedTime":1.795356E9,"PolicyDocument":` + string(text) + `,"PolicyName":"p","PolicyRevisionId":"` + revision + `"}`
	}
	statement := func(more string) string {
		return `{"Version":"2012-10-17","Statement":[{"Sid":"A ] \" [ x","Effect":"Allow","Principal":{"AWS":["111122223333"]}` + more + `}]}`
	}
	one, two := statement(`,"Action":"xray:GetTraceSummaries","Resource":["*"]`), statement(`,"Action":["a:b","c:d"],"Resource":"*","Condition":{"StringEquals":{"aws:x":["y"]}}`)
	malformed := func(why string) string {
		return `{"Message":"The document of the resource policy p is malformed: ` + why + `"}`
	}
	const locked = `{"Message":"The new resource policy will not allow the caller of this request to call PutResourcePolicy in the future."}`
	deny := func(principal, action, more string) string {
		return `{"Statement":{"Effect":"Deny",` + principal + `,` + action + `,"Resource":"*"` + more + `}}`
	}
	all, putting := `"Principal":"*"`, `"Action":"xray:PutResourcePolicy"`
	lockedOut := func(document string) wireExchange {
		return wireExchange{document, "/PutResourcePolicy", put(document, ""), "LockoutPreventionException", locked}
	}
	var revision int
	taken := func(document string) wireExchange {
		revision++
		return wireExchange{document, "/PutResourcePolicy", put(document, ""), "", `{"ResourcePolicy":` + stored(fmt.Sprint(revision+2), document) + `}`}
	}
	f.exchanges(t, []wireExchange{
		{"none", "/ListResourcePolicies", "", "", `{"NextToken":null,"ResourcePolicies":[]}`},
		{"make", "/PutResourcePolicy", put(strings.NewReplacer(`"Action":"xray:GetTraceSummaries"`, "\n \"Action\" : [\t\"xray:GetTraceSummaries\" ]", ":", ": ", `xray: Get`, `xray:Get`).Replace(one), `,"PolicyRevisionId":"0"`), "", `{"ResourcePolicy":` + stored("1", one) + `}`},
		{"make again", "/PutResourcePolicy", put(one, `,"PolicyRevisionId":"0"`), "InvalidPolicyRevisionIdException", `{"Message":"Another concurrent request has modified the resource policy p"}`},
		{"replace", "/PutResourcePolicy", put(two, `,"PolicyRevisionId":"1"`), "", `{"ResourcePolicy":` + stored("2", two) + `}`},
		{"list", "/ListResourcePolicies", `{"NextToken":null}`, "", `{"NextToken":null,"ResourcePolicies":[` + stored("2", two) + `]}`},
		{"token", "/ListResourcePolicies", `{"NextToken":"x"}`, invalidRequest, `{"Message":"NextToken is currently not supported"}`},

		{"no JSON", "/PutResourcePolicy", put("{", ""), "MalformedPolicyDocumentException", malformed("it is not JSON")},
		{"empty", "/PutResourcePolicy", put("", ""), "MalformedPolicyDocumentException", malformed("it is not JSON")},
		{"list", "/PutResourcePolicy", put("[]", ""), "MalformedPolicyDocumentException", malformed("it has to be an object with Version and Statement")},
		{"nothing", "/PutResourcePolicy", put("{}", ""), "MalformedPolicyDocumentException", malformed("it has no Statement")},
		{"text", "/PutResourcePolicy", put(`{"Statement":"x"}`, ""), "MalformedPolicyDocumentException", malformed("its Statement has to be a statement or a list of statements, whose Action and Resource are texts or lists of texts")},
		{"version", "/PutResourcePolicy", put(`{"Version":"2026-01-01","Statement":[]}`, ""), "MalformedPolicyDocumentException", malformed("the Version is 2012-10-17 or 2008-10-17")},
		{"effect", "/PutResourcePolicy", put(strings.Replace(one, "Allow", "Maybe", 1), ""), "MalformedPolicyDocumentException", malformed("the Effect of a statement is Allow or Deny")},
		{"action", "/PutResourcePolicy", put(statement(`,"Resource":"*"`), ""), "MalformedPolicyDocumentException", malformed("a statement has either Action or NotAction")},
		{"resource", "/PutResourcePolicy", put(statement(`,"Action":"*"`), ""), "MalformedPolicyDocumentException", malformed("a statement has either Resource or NotResource")},
		{"principal", "/PutResourcePolicy", put(`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, ""), "MalformedPolicyDocumentException", malformed("a statement has either Principal or NotPrincipal")},
		{"deep", "/PutResourcePolicy", put(strings.Repeat("[", 70_000), ""), "MalformedPolicyDocumentException", malformed("it is not JSON")},
		{"large", "/PutResourcePolicy", put(strings.Replace(one, "Get", strings.Repeat("G", 5<<10), 1), ""), "PolicySizeLimitExceededException", `{"Message":"The resource policy p is larger than 5120 bytes"}`},
		{"huge", "/PutResourcePolicy", put(strings.Repeat(" ", 1<<20), ""), "PolicySizeLimitExceededException", `{"Message":"The resource policy p is larger than 5120 bytes"}`},

		lockedOut(deny(all, putting, "")),
		lockedOut(deny(`"Principal":{"AWS":["x","arn:aws:iam::000000000000:root"]}`, `"Action":["a:b","XRAY:*Resource??licy"]`, `,"Condition":{}`)),
		lockedOut(deny(`"Principal":{"AWS":"000000000000"}`, `"NotAction":"xray:Get*"`, "")),
		lockedOut(deny(`"NotPrincipal":{"Service":"x"}`, `"Action":"*"`, "")),
		taken(deny(all, putting, `,"Condition":{"Bool":{"x":"true"}}`)),
		taken(deny(`"Principal":{"AWS":"111122223333"}`, putting, "")),
		taken(deny(all, `"Action":"xray:PutTraceSegments"`, "")),
		taken(deny(all, `"NotAction":"xray:Put*"`, "")),
		taken(strings.Replace(deny(all, putting, ""), "Deny", "Allow", 1)),
		{"bypass", "/PutResourcePolicy", put(deny(all, putting, ""), `,"BypassPolicyLockoutCheck":true`), "", `{"ResourcePolicy":` + stored("8", deny(all, putting, "")) + `}`},

		{"invalid UTF-8", "/PutResourcePolicy", strings.Replace(put(strings.Replace(one, "A ]", "A!", 1), ""), "A!", "A\xff", 1), "", `{"ResourcePolicy":` + stored("9", strings.Replace(one, "A ]", "A\uFFFD", 1)) + `}`},

		{"stale", "/DeleteResourcePolicy", `{"PolicyName":"p","PolicyRevisionId":"1"}`, "InvalidPolicyRevisionIdException", `{"Message":"Another concurrent request has modified or deleted the resource policy p"}`},
		{"delete", "/DeleteResourcePolicy", `{"PolicyName":"p","PolicyRevisionId":"9"}`, "", `{}`},
		{"again", "/DeleteResourcePolicy", `{"PolicyName":"p"}`, invalidRequest, `{"Message":"The resource policy p does not exist."}`},
		{"name", "/DeleteResourcePolicy", `{"PolicyName":""}`, "ValidationException", `{"message":"2 validation errors detected: Value '' at 'policyName'` + constraint + `Member must have length greater than or equal to 1; Value '' at 'policyName'` + constraint + `Member must satisfy regular expression pattern: [\\w+=,.@-]+"}`},
	})
}

// TestSettingsTrouble wants the old settings in force when the disk fails, and
// answers that make clients try again.
func TestSettingsTrouble(t *testing.T) {
	faults := crashtest.NewFaults(vfs.NewMem())
	f := serveGroups(t, "/", faults)
	changes := map[string]string{
		"/PutEncryptionConfig":           `{"Type":"KMS","KeyId":"k"}`,
		"/UpdateTraceSegmentDestination": `{"Destination":"CloudWatchLogs"}`,
		"/UpdateIndexingRule":            `{"Name":"Default","Rule":{"Probabilistic":{"DesiredSamplingPercentage":5}}}`,
		"/PutResourcePolicy":             `{"PolicyName":"p","PolicyDocument":"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"}}"}`,
		"/TagResource":                   `{"ResourceARN":"arn:aws:xray:us-west-2:000000000000:group/Default","Tags":[{"Key":"a","Value":"b"}]}`,
	}
	looks := map[string]string{"/EncryptionConfig": "", "/GetTraceSegmentDestination": "", "/GetIndexingRules": "", "/ListResourcePolicies": "", "/ListTagsForResource": `{"ResourceARN":"arn:aws:xray:us-west-2:000000000000:group/Default"}`}
	look := func() string {
		text := ""
		for _, path := range []string{"/EncryptionConfig", "/GetTraceSegmentDestination", "/GetIndexingRules", "/ListResourcePolicies", "/ListTagsForResource"} {
			_, _, answer := f.post(t, path, looks[path])
			text += answer
		}
		return text
	}
	before := look()
	faults.Arm(crashtest.Plan{Forever: true})
	for path, body := range changes {
		if status, code, answer := f.post(t, path, body); status != 503 || code != "ServiceUnavailableException" {
			t.Errorf("%s: %d %s %s", path, status, code, answer)
		}
	}
	if got := look(); got != before {
		t.Errorf("got %s\nwant %s", got, before)
	}
	faults.Disarm()
	for path, body := range changes {
		if status, _, answer := f.post(t, path, body); status != 200 {
			t.Errorf("%s afterwards: %d %s", path, status, answer)
		}
	}
	if look() == before {
		t.Error("nothing changed")
	}
}
