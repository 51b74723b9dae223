package xrayapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// samplingFixture is a server whose clock the test moves.
type samplingFixture struct {
	*fixture
	now *time.Time
}

func serveSampling(t testing.TB, fs vfs.FS, edit ...func(*xrayapi.Config)) *samplingFixture {
	t.Helper()
	now := time.Unix(1795356000, 250_000_000)
	clock := func() time.Time { return now }
	o := control.Options{Region: "us-west-2", Now: clock}
	if fs != nil {
		o.Dir, o.FS = "/", fs
	}
	state, err := control.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return &samplingFixture{now: &now, fixture: serve(t, nil, func(c *xrayapi.Config) {
		c.Region, c.Control, c.Now = "us-west-2", state, clock
		for _, e := range edit {
			e(c)
		}
	})}
}

func (f *samplingFixture) advance(d time.Duration) { *f.now = f.now.Add(d) }

// want posts a body and compares all of the answer.
func (f *samplingFixture) want(t *testing.T, path, body string, status int, code, answer string) {
	t.Helper()
	gotStatus, gotCode, got := f.post(t, path, body)
	if gotStatus != status || gotCode != code || got != answer {
		t.Errorf("%s %s:\n got %d %s %s\nwant %d %s %s", path, body, gotStatus, gotCode, got, status, code, answer)
	}
}

const (
	plainRule = `"ResourceARN":"*","Priority":9000,"FixedRate":0.1,"ReservoirSize":5,"ServiceName":"*","ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","Version":1`
	ruleARN   = "arn:aws:xray:us-west-2:000000000000:sampling-rule/"
)

// record is how the server writes a rule that was made from plainRule.
func record(name, created, modified, more string) string {
	return `{"CreatedAt":` + created + `,"ModifiedAt":` + modified + `,"SamplingRule":{"Attributes":{},"FixedRate":0.1,"HTTPMethod":"*","Host":"*","Priority":9000,"ReservoirSize":5,"ResourceARN":"*",` +
		`"RuleARN":"` + ruleARN + name + `","RuleName":"` + name + `",` + more + `"ServiceName":"*","ServiceType":"*","URLPath":"*","Version":1}}`
}

const (
	atStart     = "1.795356E9"
	defaultJSON = `{"CreatedAt":0.0,"ModifiedAt":0.0,"SamplingRule":{"Attributes":{},"FixedRate":0.05,"HTTPMethod":"*","Host":"*","Priority":10000,"ReservoirSize":1,"ResourceARN":"*",` +
		`"RuleARN":"` + ruleARN + `Default","RuleName":"Default","ServiceName":"*","ServiceType":"*","URLPath":"*","Version":1}}`
)

// TestSamplingRules holds the answers of the operations on rules, byte for byte.
func TestSamplingRules(t *testing.T) {
	f := serveSampling(t, nil)
	invalid := func(message string) string { return `{"Message":"` + message + `"}` }
	const (
		bad   = "InvalidRequestException"
		check = "ValidationException"
	)
	wrap := func(rule string) string { return `{"SamplingRuleRecord":` + rule + `}` }
	f.want(t, "/CreateSamplingRule", `{"SamplingRule":{"RuleName":"b",`+plainRule+`}}`, 200, "", wrap(record("b", atStart, atStart, "")))
	f.want(t, "/CreateSamplingRule", `{"SamplingRule":{"RuleARN":"`+ruleARN+`a",`+plainRule+`,"SamplingRateBoost":{"MaxRate":0,"CooldownWindowMinutes":1}}}`, 200, "",
		wrap(record("a", atStart, atStart, `"SamplingRateBoost":{"CooldownWindowMinutes":1,"MaxRate":0.0},`)))
	f.want(t, "/GetSamplingRules", `{"NextToken":"anything"}`, 200, "",
		`{"NextToken":null,"SamplingRuleRecords":[`+record("a", atStart, atStart, `"SamplingRateBoost":{"CooldownWindowMinutes":1,"MaxRate":0.0},`)+`,`+record("b", atStart, atStart, "")+`,`+defaultJSON+`]}`)

	create := func(members string) string { return `{"SamplingRule":{` + members + `}}` }
	with := func(old, new string) string {
		if !strings.Contains(plainRule, old) {
			t.Fatalf("no %s", old)
		}
		return create(`"RuleName":"c",` + strings.Replace(plainRule, old, new, 1))
	}
	boost := func(text string) string {
		return create(`"RuleName":"c",` + plainRule + `,"SamplingRateBoost":` + text)
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct{ name, body, code, answer string }{
		{"taken", create(`"RuleName":"a",` + plainRule), bad, invalid("Sampling rule already exists")},
		{"reserved", create(`"RuleName":"Default",` + plainRule), bad, invalid("Sampling rule already exists")},
		{"version", with(`"Version":1`, `"Version":2`), bad, invalid("Sampling rule version must be 1")},
		{"name and ARN", create(`"RuleName":"c","RuleARN":"` + ruleARN + `c",` + plainRule), bad, invalid("Request cannot contain both sampling rule name and sampling rule ARN")},
		{"no name", create(plainRule), bad, invalid("Request must contain either sampling rule name or sampling rule ARN")},
		{"foreign ARN", create(`"RuleARN":"arn:aws:xray:us-west-2:1:sampling-rule/c",` + plainRule), bad, invalid("Sampling rule ARN must be " + ruleARN + " and a name")},
		{"long name in an ARN", create(`"RuleARN":"` + ruleARN + long(33) + `",` + plainRule), bad, invalid("Sampling rule name must have at most 32 characters, not 33")},
		{"large reservoir", with(`"ReservoirSize":5`, `"ReservoirSize":1e300`), bad, invalid("Invalid sampling rule: the ReservoirSize of a rule is at most 2147483647")},
		{"cooldown", boost(`{"MaxRate":0.5,"CooldownWindowMinutes":0}`), bad, invalid("Invalid sampling rule: the CooldownWindowMinutes of a boost are at least 1")},
		{"system tag", `{"SamplingRule":{"RuleName":"c",` + plainRule + `},"Tags":[{"Key":"aws:x","Value":""}]}`, bad, invalid("Caller is an end user and not allowed to mutate system tags")},
		{"priority 0", with(`"Priority":9000`, `"Priority":0`), check, violation + `Value '0' at 'samplingRule.priority'` + constraint + `Member must have value greater than or equal to 1"}`},
		{"priority 10000", with(`"Priority":9000`, `"Priority":10000`), check, violation + `Value '10000' at 'samplingRule.priority'` + constraint + `Member must have value less than or equal to 9999"}`},
		{"rate", with(`"FixedRate":0.1`, `"FixedRate":1.01`), check, violation + `Value '1.01' at 'samplingRule.fixedRate'` + constraint + `Member must have value less than or equal to 1"}`},
		{"reservoir", with(`"ReservoirSize":5`, `"ReservoirSize":-1`), check, violation + `Value '-1' at 'samplingRule.reservoirSize'` + constraint + `Member must have value greater than or equal to 0"}`},
		{"attributes", create(`"RuleName":"c",` + plainRule + `,"Attributes":{"0":"v","1":"v","2":"v","3":"v","4":"v","5":"v"}`), check,
			violation + `Value '{0=v, 1=v, 2=v, 3=v, 4=v, 5=v}' at 'samplingRule.attributes'` + constraint + `Member must have length less than or equal to 5"}`},
		{"no host", with(`"Host":"*",`, ``), check, violation + `Value null at 'samplingRule.host'` + constraint + `Member must not be null"}`},
		{"long host", with(`"Host":"*"`, `"Host":"`+long(65)+`"`), check, violation + `Value '` + long(65) + `' at 'samplingRule.host'` + constraint + `Member must have length less than or equal to 64"}`},
		{"half a boost", boost(`{"MaxRate":0.5}`), check, violation + `Value null at 'samplingRule.samplingRateBoost.cooldownWindowMinutes'` + constraint + `Member must not be null"}`},
		{"no rule", `{}`, check, violation + `Value null at 'samplingRule'` + constraint + `Member must not be null"}`},
	} {
		t.Run("create/"+c.name, func(t *testing.T) { f.want(t, "/CreateSamplingRule", c.body, 400, c.code, c.answer) })
	}

	update := func(members string) string { return `{"SamplingRuleUpdate":{` + members + `}}` }
	for _, c := range []struct{ name, body, code, answer string }{
		{"both", update(`"RuleName":"a","RuleARN":"` + ruleARN + `a"`), bad, invalid("Request cannot contain both sampling rule name and sampling rule ARN")},
		{"neither", update(`"FixedRate":1`), bad, invalid("Request must contain either sampling rule name or sampling rule ARN")},
		{"unknown", update(`"RuleName":"c"`), bad, invalid("Sampling rule does not exist")},
		{"unknown ARN", update(`"RuleARN":"a"`), bad, invalid("Sampling rule does not exist")},
		{"rate", update(`"RuleName":"a","FixedRate":1.5`), bad, invalid("Invalid update request for sampling rule")},
		{"reservoir", update(`"RuleName":"a","ReservoirSize":-1`), bad, invalid("Invalid update request for sampling rule")},
		{"priority", update(`"RuleName":"a","Priority":10000,"Host":"changed"`), bad, invalid("Invalid update request for sampling rule")},
		{"huge", update(`"RuleName":"a","ReservoirSize":1e300`), bad, invalid("Invalid update request for sampling rule")},
		{"host", update(`"RuleName":"a","Host":"` + long(65) + `"`), check, violation + `Value '` + long(65) + `' at 'samplingRuleUpdate.host'` + constraint + `Member must have length less than or equal to 64"}`},
		{"default's host", update(`"RuleName":"Default","Host":"x"`), bad, invalid("Only the FixedRate and the ReservoirSize of the Default sampling rule can be updated")},
		{"default's priority", update(`"RuleName":"Default","Priority":5`), bad, invalid("Only the FixedRate and the ReservoirSize of the Default sampling rule can be updated")},
		{"default's rate", update(`"RuleName":"Default","FixedRate":-1`), bad, invalid("Invalid update request for sampling rule")},
		{"cooldown", update(`"RuleName":"a","SamplingRateBoost":{"MaxRate":1,"CooldownWindowMinutes":0}`), bad, invalid("Invalid sampling rule: the CooldownWindowMinutes of a boost are at least 1")},
	} {
		t.Run("update/"+c.name, func(t *testing.T) { f.want(t, "/UpdateSamplingRule", c.body, 400, c.code, c.answer) })
	}
	for _, c := range []struct{ name, body, answer string }{
		{"both", `{"RuleName":"a","RuleARN":"` + ruleARN + `a"}`, invalid("Request cannot contain both sampling rule name and sampling rule ARN")},
		{"neither", `{}`, invalid("Request must contain either sampling rule name or sampling rule ARN")},
		{"empty", `{"RuleName":""}`, invalid("Request must contain either sampling rule name or sampling rule ARN")},
		{"unknown", `{"RuleName":"c"}`, invalid("Sampling rule does not exist")},
		{"default", `{"RuleName":"Default"}`, invalid("Default sampling rule cannot be deleted")},
	} {
		t.Run("delete/"+c.name, func(t *testing.T) { f.want(t, "/DeleteSamplingRule", c.body, 400, bad, c.answer) })
	}

	// What is left out stays, but for the boost; the time moves in any case.
	f.advance(10 * time.Second)
	f.want(t, "/UpdateSamplingRule", update(`"RuleName":"a"`), 200, "", wrap(record("a", atStart, "1.79535601E9", "")))
	f.want(t, "/UpdateSamplingRule", update(`"RuleARN":"`+ruleARN+`b","Attributes":{"b":"2","a":"1"},"Host":"h"`), 200, "",
		wrap(strings.NewReplacer(`"Attributes":{}`, `"Attributes":{"a":"1","b":"2"}`, `"Host":"*"`, `"Host":"h"`).Replace(record("b", atStart, "1.79535601E9", ""))))
	f.want(t, "/UpdateSamplingRule", update(`"RuleName":"b","FixedRate":0.1,"Host":"*"`), 200, "",
		wrap(strings.Replace(record("b", atStart, "1.79535601E9", ""), `"Attributes":{}`, `"Attributes":{"a":"1","b":"2"}`, 1)))
	f.want(t, "/UpdateSamplingRule", update(`"RuleName":"b","Attributes":{}`), 200, "", wrap(record("b", atStart, "1.79535601E9", "")))
	f.want(t, "/UpdateSamplingRule", update(`"RuleName":"Default","FixedRate":1,"ReservoirSize":0,"Priority":10000,"Host":"*"`), 200, "",
		wrap(strings.NewReplacer(`"ModifiedAt":0.0`, `"ModifiedAt":1.79535601E9`, `0.05`, `1.0`, `"ReservoirSize":1`, `"ReservoirSize":0`).Replace(defaultJSON)))
	f.want(t, "/DeleteSamplingRule", `{"RuleName":"b"}`, 200, "", wrap(record("b", atStart, "1.79535601E9", "")))
	f.want(t, "/DeleteSamplingRule", `{"RuleARN":"`+ruleARN+`a"}`, 200, "", wrap(record("a", atStart, "1.79535601E9", "")))
	if _, _, answer := f.post(t, "/GetSamplingRules", ""); strings.Count(answer, "RuleName") != 1 {
		t.Errorf("at the end %s", answer)
	}
}

// TestSamplingRuleLimit holds AWS's limit, and that there is none otherwise.
func TestSamplingRuleLimit(t *testing.T) {
	aws := serveSampling(t, nil, func(c *xrayapi.Config) { c.AWSLimits = true })
	free := serveSampling(t, nil)
	for i := range 30 {
		body := fmt.Sprintf(`{"SamplingRule":{"RuleName":"r%d",%s}}`, i, plainRule)
		status, code, answer := aws.post(t, "/CreateSamplingRule", body)
		if i < 25 && status != 200 || i >= 25 && (status != 400 || code != "RuleLimitExceededException" || answer != `{"Message":"The number of sampling rules has reached its limit of 25"}`) {
			t.Errorf("rule %d: %d %s %s", i+1, status, code, answer)
		}
		if status, _, answer := free.post(t, "/CreateSamplingRule", body); status != 200 {
			t.Errorf("rule %d: %d %s", i+1, status, answer)
		}
	}
	// All of them come on one page.
	if _, _, answer := free.post(t, "/GetSamplingRules", "{}"); strings.Count(answer, `"RuleName"`) != 31 || !strings.HasPrefix(answer, `{"NextToken":null,`) {
		t.Errorf("%d rules on a page", strings.Count(answer, `"RuleName"`))
	}
}

// TestSamplingTargets leads two clients from their first report on.
func TestSamplingTargets(t *testing.T) {
	f := serveSampling(t, nil)
	f.post(t, "/CreateSamplingRule", `{"SamplingRule":{"RuleName":"r",`+plainRule+`,"SamplingRateBoost":{"MaxRate":0.5,"CooldownWindowMinutes":1}}}`)
	document := func(rule string, client, requests int, more string) string {
		return fmt.Sprintf(`{"RuleName":%q,"ClientID":"%024d","Timestamp":1e11,"RequestCount":%d,"SampledCount":%d%s}`, rule, client, requests, requests, more)
	}
	body := func(documents ...string) string {
		return `{"SamplingStatisticsDocuments":[` + strings.Join(documents, ",") + `]}`
	}
	const (
		modified = `{"LastRuleModification":1.795356001E9,"SamplingTargetDocuments":[` // rounded up
		fresh    = `{"FixedRate":0.1,"Interval":null,"ReservoirQuota":null,"ReservoirQuotaTTL":null,"RuleName":"r"}`
		end      = `],"UnprocessedStatistics":[]}`
		unknown  = `{"ErrorCode":"400","Message":"Unknown rule","RuleName":"gone"}`
	)
	settled := func(quota int, ttl string) string {
		return fmt.Sprintf(`{"FixedRate":0.1,"Interval":10,"ReservoirQuota":%d,"ReservoirQuotaTTL":%s,"RuleName":"r"}`, quota, ttl)
	}
	f.want(t, "/SamplingTargets", body(), 200, "", modified+end)
	f.want(t, "/SamplingTargets", body(document("r", 1, 100, `,"BorrowCount":7`)), 200, "", modified+fresh+end)
	f.want(t, "/SamplingTargets", body(document("gone", 1, 1, ""), document("r", 2, 50, ""), document("gone", 1, 1, "")), 200, "",
		modified+fresh+`],"UnprocessedStatistics":[`+unknown+`,`+unknown+`]}`)
	f.advance(10 * time.Second)
	f.want(t, "/SamplingTargets", body(document("r", 1, 100, "")), 200, "", modified+settled(5, "1.79535631E9")+end)
	f.want(t, "/SamplingTargets", body(document("r", 2, 50, "")), 200, "", modified+settled(2, "1.79535631E9")+end)
	f.advance(10 * time.Second)
	// One target a document, in their order.
	f.want(t, "/SamplingTargets", body(document("r", 1, 60, ""), document("Default", 1, 0, ""), document("r", 1, 40, "")), 200, "", modified+settled(3, "1.79535632E9")+
		`,{"FixedRate":0.05,"Interval":null,"ReservoirQuota":null,"ReservoirQuotaTTL":null,"RuleName":"Default"},`+settled(3, "1.79535632E9")+end)
	f.want(t, "/SamplingTargets", body(document("r", 2, 0, "")), 200, "", modified+settled(0, "1.79535632E9")+end)

	// Boost: to whoever reports, while anomalies are reported.
	boosts := func(anomalies int, rules ...string) string {
		var list []string
		for _, rule := range rules {
			list = append(list, fmt.Sprintf(`{"RuleName":%q,"ServiceName":"till","Timestamp":1,"AnomalyCount":%d,"TotalCount":1000,"SampledAnomalyCount":2000}`, rule, anomalies))
		}
		return `{"SamplingBoostStatisticsDocuments":[` + strings.Join(list, ",") + `],"SamplingStatisticsDocuments":[` + document("r", 1, 100, "") + `]}`
	}
	boosted := strings.Replace(settled(5, "1.79535632E9"), `"RuleName":"r"`, `"RuleName":"r","SamplingBoost":{"BoostRate":0.2,"BoostRateTTL":1.79535604E9}`, 1)
	f.want(t, "/SamplingTargets", boosts(900, "r", "gone"), 200, "", modified+boosted+`],"UnprocessedBoostStatistics":[`+unknown+`],"UnprocessedStatistics":[]}`)
	f.want(t, "/SamplingTargets", body(document("r", 1, 100, "")), 200, "", modified+boosted+end)
	f.want(t, "/SamplingTargets", boosts(0, "r"), 200, "", modified+settled(5, "1.79535632E9")+`],"UnprocessedBoostStatistics":[],"UnprocessedStatistics":[]}`)

	// The time of the latest change stays, until there is one: a deletion, too.
	f.advance(100 * time.Second)
	f.post(t, "/DeleteSamplingRule", `{"RuleName":"r"}`)
	f.want(t, "/SamplingTargets", body(document("r", 1, 100, "")), 200, "", `{"LastRuleModification":1.795356121E9,"SamplingTargetDocuments":[],"UnprocessedStatistics":[`+strings.Replace(unknown, "gone", "r", 1)+`]}`)
	// A rule of the same name begins anew.
	f.post(t, "/CreateSamplingRule", `{"SamplingRule":{"RuleName":"r",`+plainRule+`}}`)
	f.want(t, "/SamplingTargets", body(document("r", 1, 100, "")), 200, "", strings.Replace(modified, "1.795356001E9", "1.795356121E9", 1)+fresh+end)
}

// TestSamplingStatistics reads the windows back, page by page.
func TestSamplingStatistics(t *testing.T) {
	f := serveSampling(t, nil)
	f.want(t, "/SamplingStatisticSummaries", "", 200, "", `{"NextToken":null,"SamplingStatisticSummaries":[]}`)
	f.post(t, "/CreateSamplingRule", `{"SamplingRule":{"RuleName":"a",`+plainRule+`}}`)
	report := func(rule string) {
		f.post(t, "/SamplingTargets", `{"SamplingStatisticsDocuments":[{"RuleName":"`+rule+`","ClientID":"000000000000000000000001","Timestamp":0,"RequestCount":7,"SampledCount":2,"BorrowCount":1},`+
			`{"RuleName":"`+rule+`","ClientID":"000000000000000000000002","Timestamp":0,"RequestCount":1e300,"SampledCount":2147483647,"BorrowCount":0}]}`)
	}
	report("Default")
	report("a")
	f.want(t, "/SamplingStatisticSummaries", `{}`, 200, "", `{"NextToken":null,"SamplingStatisticSummaries":[`+
		`{"BorrowCount":1,"RequestCount":2147483647,"RuleName":"Default","SampledCount":2147483647,"Timestamp":1.795356E9},`+
		`{"BorrowCount":1,"RequestCount":2147483647,"RuleName":"a","SampledCount":2147483647,"Timestamp":1.795356E9}]}`)
	for _, token := range []string{"x", "====", "cw", "czE"} {
		f.want(t, "/SamplingStatisticSummaries", `{"NextToken":"`+token+`"}`, 400, "InvalidRequestException", `{"Message":"Invalid token `+token+`"}`)
	}
	for i := range 10 {
		f.post(t, "/CreateSamplingRule", fmt.Sprintf(`{"SamplingRule":{"RuleName":"r/%d",%s}}`, i, plainRule))
	}
	for range 150 {
		f.advance(10 * time.Second)
		for i := range 10 {
			report(fmt.Sprintf("r/%d", i))
		}
	}
	seen, pages := map[string]bool{}, 0
	question := `{}`
	for {
		var page struct {
			NextToken                  *string
			SamplingStatisticSummaries []struct {
				RuleName  string
				Timestamp float64
			}
		}
		_, _, answer := f.post(t, "/SamplingStatisticSummaries", question)
		if err := json.Unmarshal([]byte(answer), &page); err != nil {
			t.Fatal(err)
		}
		pages++
		for _, s := range page.SamplingStatisticSummaries {
			key := fmt.Sprintf("%s %v", s.RuleName, s.Timestamp)
			if seen[key] {
				t.Fatalf("%s comes twice", key)
			}
			seen[key] = true
		}
		if page.NextToken == nil {
			break
		}
		question = fmt.Sprintf(`{"NextToken":%q}`, *page.NextToken)
	}
	if len(seen) != 1502 || pages != 2 {
		t.Errorf("%d windows on %d pages", len(seen), pages)
	}
}

// TestSDKSampling leads a rule through its life with a real client, over a restart.
func TestSDKSampling(t *testing.T) {
	mem := vfs.NewCrashableMem()
	f := serveSampling(t, mem)
	client, ctx := sdk(f.fixture), context.Background()
	rule := &types.SamplingRule{
		RuleName: aws.String("cart"), ResourceARN: aws.String("*"), Priority: aws.Int32(3), FixedRate: 0.25, ReservoirSize: 2, Version: aws.Int32(1),
		ServiceName: aws.String("till"), ServiceType: aws.String("*"), Host: aws.String("*"), HTTPMethod: aws.String("GET"), URLPath: aws.String("/cart/*"),
		Attributes:        map[string]string{"tenant": "a?me", "é": "<&>"},
		SamplingRateBoost: &types.SamplingRateBoost{MaxRate: 0.75, CooldownWindowMinutes: 10},
	}
	made, err := client.CreateSamplingRule(ctx, &xray.CreateSamplingRuleInput{SamplingRule: rule, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("till")}}})
	if err != nil {
		t.Fatal(err)
	}
	got := made.SamplingRuleRecord.SamplingRule
	if *got.RuleARN != ruleARN+"cart" || got.FixedRate != 0.25 || got.ReservoirSize != 2 || got.Attributes["é"] != "<&>" || got.SamplingRateBoost.MaxRate != 0.75 || !made.SamplingRuleRecord.CreatedAt.Equal(time.Unix(1795356000, 0)) {
		t.Errorf("made %+v", got)
	}
	if _, err := client.UpdateSamplingRule(ctx, &xray.UpdateSamplingRuleInput{SamplingRuleUpdate: &types.SamplingRuleUpdate{RuleName: aws.String("cart"), ReservoirSize: aws.Int32(0), FixedRate: aws.Float64(0)}}); err != nil {
		t.Fatal(err)
	}
	targets, err := client.GetSamplingTargets(ctx, &xray.GetSamplingTargetsInput{SamplingStatisticsDocuments: []types.SamplingStatisticsDocument{
		{RuleName: aws.String("cart"), ClientID: aws.String("0123456789abcdef01234567"), Timestamp: f.now, RequestCount: 5, SampledCount: 1, BorrowCount: 1},
		{RuleName: aws.String("old"), ClientID: aws.String("0123456789abcdef01234567"), Timestamp: f.now, RequestCount: 5, SampledCount: 1},
	}})
	if err != nil || len(targets.SamplingTargetDocuments) != 1 || targets.SamplingTargetDocuments[0].ReservoirQuota != nil || targets.SamplingTargetDocuments[0].FixedRate != 0 ||
		!targets.LastRuleModification.Equal(time.Unix(1795356001, 0)) || len(targets.UnprocessedStatistics) != 1 || *targets.UnprocessedStatistics[0].ErrorCode != "400" {
		t.Errorf("%+v %v", targets, err)
	}
	summaries, err := client.GetSamplingStatisticSummaries(ctx, &xray.GetSamplingStatisticSummariesInput{})
	if err != nil || len(summaries.SamplingStatisticSummaries) != 1 || summaries.SamplingStatisticSummaries[0].RequestCount != 5 || summaries.SamplingStatisticSummaries[0].BorrowCount != 1 {
		t.Errorf("%+v %v", summaries, err)
	}

	again := serveSampling(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	rules, err := sdk(again.fixture).GetSamplingRules(ctx, &xray.GetSamplingRulesInput{})
	if err != nil || len(rules.SamplingRuleRecords) != 2 {
		t.Fatalf("%+v %v", rules, err)
	}
	if r := rules.SamplingRuleRecords[0].SamplingRule; *r.RuleName != "cart" || r.FixedRate != 0 || r.ReservoirSize != 0 || r.SamplingRateBoost != nil || r.Attributes["tenant"] != "a?me" || *r.URLPath != "/cart/*" {
		t.Errorf("after a crash %+v", r)
	}
	if r := rules.SamplingRuleRecords[1].SamplingRule; *r.RuleName != "Default" || *r.Priority != 10000 {
		t.Errorf("last %+v", r)
	}
	deleted, err := sdk(again.fixture).DeleteSamplingRule(ctx, &xray.DeleteSamplingRuleInput{RuleARN: got.RuleARN})
	if err != nil || *deleted.SamplingRuleRecord.SamplingRule.RuleName != "cart" {
		t.Errorf("%+v %v", deleted, err)
	}
}

// wireClient is a client as the SDKs are: it counts, and reports by its own clock.
type wireClient struct {
	id       string
	skew     time.Duration
	rate     float64
	next     time.Time
	quota    int
	ttl      float64 // as it was told, in the server's time
	reported int
}

// TestFleet lets forty clients with skewed clocks and demand share a reservoir over
// the wire, while some come and some go. Each keeps to what it was told: nothing is
// kept when it is null. Once a change is a minute old, the quotas add up.
func TestFleet(t *testing.T) {
	f := serveSampling(t, nil)
	f.post(t, "/CreateSamplingRule", `{"SamplingRule":{"RuleName":"r",`+strings.Replace(plainRule, `"ReservoirSize":5`, `"ReservoirSize":37`, 1)+`}}`)
	rng := rand.New(rand.NewPCG(3, 5))
	var fleet []*wireClient
	join := func(n int) {
		for range n {
			fleet = append(fleet, &wireClient{
				id: fmt.Sprintf("%024x", rng.Uint64()), skew: time.Duration(rng.IntN(4000)-2000) * time.Hour,
				rate: 0.2 + 100*rng.Float64()*rng.Float64()*rng.Float64(), next: f.now.Add(time.Duration(rng.IntN(10_000)) * time.Millisecond),
			})
		}
	}
	modified := ""
	run := func(d time.Duration) {
		t.Helper()
		for end := f.now.Add(d); f.now.Before(end); f.advance(100 * time.Millisecond) {
			for _, c := range fleet {
				if f.now.Before(c.next) {
					continue
				}
				c.next = f.now.Add(10*time.Second + time.Duration(rng.IntN(100))*time.Millisecond)
				requests := int(c.rate*10*(0.8+0.4*rng.Float64())) + 1
				_, _, answer := f.post(t, "/SamplingTargets", fmt.Sprintf(`{"SamplingStatisticsDocuments":[{"RuleName":"r","ClientID":%q,"Timestamp":%d,"RequestCount":%d,"SampledCount":%d,"BorrowCount":0}]}`,
					c.id, f.now.Add(c.skew).Unix(), requests, requests/10))
				var out struct {
					LastRuleModification    json.Number
					SamplingTargetDocuments []struct {
						FixedRate         float64
						Interval          *int
						ReservoirQuota    *int
						ReservoirQuotaTTL *float64
					}
				}
				if err := json.Unmarshal([]byte(answer), &out); err != nil || len(out.SamplingTargetDocuments) != 1 {
					t.Fatalf("%v: %s", err, answer)
				}
				target := out.SamplingTargetDocuments[0]
				if c.reported++; (target.ReservoirQuota == nil) != (c.reported == 1) || (target.Interval == nil) != (c.reported == 1) || target.FixedRate != 0.1 {
					t.Fatalf("report %d: %s", c.reported, answer)
				}
				if target.ReservoirQuota != nil {
					c.quota, c.ttl = *target.ReservoirQuota, *target.ReservoirQuotaTTL
				}
				if modified == "" {
					modified = out.LastRuleModification.String()
				} else if out.LastRuleModification.String() != modified {
					t.Fatalf("the rules changed at %s, and before at %s", out.LastRuleModification, modified)
				}
			}
		}
	}
	check := func(what string) {
		t.Helper()
		sum, most := 0, 0.0
		for _, c := range fleet {
			sum += c.quota
			most = max(most, c.rate)
			if c.ttl < float64(f.now.Unix()+280) {
				t.Errorf("%s: a quota is good until %v only", what, c.ttl)
			}
		}
		if sum != 37 {
			t.Errorf("%s: the quotas of %d clients are %d together", what, len(fleet), sum)
		}
		for _, c := range fleet {
			if c.rate == most && c.quota == 0 {
				t.Errorf("%s: the client with most requests has no quota", what)
			}
		}
	}
	join(40)
	run(time.Minute)
	check("forty")
	fleet = fleet[15:] // without a word
	run(time.Minute)
	check("some went")
	join(30)
	run(time.Minute)
	check("some came")
	for _, c := range fleet[:10] {
		c.rate *= 20
	}
	run(time.Minute)
	check("some have more to do")
	fleet = fleet[:1]
	run(time.Minute)
	check("one is left")
}
