package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/test/process"
)

// defaultGroup is an ARN that has tags without being made.
const defaultGroup = "arn:aws:xray:us-east-1:000000000000:group/Default"

// configured is one thing that is configured, with the values that it may have: more
// than one when the server was killed during a change; "" stands for nothing.
type configured struct {
	name   string
	may    []string
	change func(value string, there bool) (path string, body any) // value "": take it away
	stays  bool                                                   // it cannot be taken away
}

// thingsOf returns what one client configures; nobody else changes it.
func thingsOf(client int) []*configured {
	name := fmt.Sprintf("thing%d", client)
	type object = map[string]any
	things := []*configured{
		{name: "rule " + name, change: func(value string, there bool) (string, any) {
			switch {
			case value == "":
				return "/DeleteSamplingRule", object{"RuleName": name}
			case there:
				return "/UpdateSamplingRule", object{"SamplingRuleUpdate": object{"RuleName": name, "URLPath": value}}
			}
			return "/CreateSamplingRule", object{"SamplingRule": object{"RuleName": name, "URLPath": value, "Priority": 5, "FixedRate": 0.5, "ReservoirSize": 1,
				"ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "ResourceARN": "*", "Version": 1}}
		}},
		{name: "policy " + name, change: func(value string, _ bool) (string, any) {
			if value == "" {
				return "/DeleteResourcePolicy", object{"PolicyName": name}
			}
			return "/PutResourcePolicy", object{"PolicyName": name, "PolicyDocument": policyDocument(value)}
		}},
		{name: "tag " + name, change: func(value string, _ bool) (string, any) {
			if value == "" {
				return "/UntagResource", object{"ResourceARN": defaultGroup, "TagKeys": []string{name}}
			}
			return "/TagResource", object{"ResourceARN": defaultGroup, "Tags": []object{{"Key": name, "Value": value}}}
		}},
		{name: "group " + name, change: func(value string, there bool) (string, any) {
			switch {
			case value == "":
				return "/DeleteGroup", object{"GroupName": name}
			case there:
				return "/UpdateGroup", object{"GroupName": name, "FilterExpression": "annotation.n = " + value}
			}
			return "/CreateGroup", object{"GroupName": name, "FilterExpression": "annotation.n = " + value}
		}},
	}
	switch client {
	case 0:
		things = append(things, &configured{name: "encryption", stays: true, change: func(value string, _ bool) (string, any) {
			return "/PutEncryptionConfig", object{"Type": "KMS", "KeyId": "alias/" + value}
		}})
	case 1:
		things = append(things, &configured{name: "rule Default", stays: true, change: func(value string, _ bool) (string, any) {
			n, _ := strconv.Atoi(value)
			return "/UpdateSamplingRule", object{"SamplingRuleUpdate": object{"RuleName": "Default", "ReservoirSize": n}}
		}})
	}
	for _, c := range things {
		c.may = []string{""}
	}
	return things
}

func policyDocument(value string) string {
	return `{"Statement":{"Sid":"` + value + `","Effect":"Allow","Principal":"*","Action":"xray:PutTraceSegments","Resource":"*"}}`
}

// readConfigured reads everything that clients configure, by name.
func readConfigured(t *testing.T, client *http.Client, url string) map[string]string {
	t.Helper()
	ask := func(path string, body, answer any) {
		t.Helper()
		status, text := post(client, url+path, body)
		if err := json.Unmarshal([]byte(text), answer); status != http.StatusOK || err != nil {
			t.Fatalf("%s: %d %s", path, status, text)
		}
	}
	got := map[string]string{}
	var rules struct {
		SamplingRuleRecords []struct {
			SamplingRule struct {
				RuleName, URLPath string
				ReservoirSize     int
			}
		}
	}
	ask("/GetSamplingRules", struct{}{}, &rules)
	for _, r := range rules.SamplingRuleRecords {
		value := r.SamplingRule.URLPath
		if r.SamplingRule.RuleName == "Default" {
			value = strconv.Itoa(r.SamplingRule.ReservoirSize)
			if value == "1" {
				value = "" // nobody changed it
			}
		}
		got["rule "+r.SamplingRule.RuleName] = value
	}
	var policies struct {
		ResourcePolicies []struct{ PolicyName, PolicyDocument string }
	}
	ask("/ListResourcePolicies", struct{}{}, &policies)
	for _, p := range policies.ResourcePolicies {
		var document struct{ Statement struct{ Sid string } }
		if err := json.Unmarshal([]byte(p.PolicyDocument), &document); err != nil || policyDocument(document.Statement.Sid) != p.PolicyDocument {
			t.Errorf("policy %s is %s", p.PolicyName, p.PolicyDocument)
		}
		got["policy "+p.PolicyName] = document.Statement.Sid
	}
	var tags struct{ Tags []struct{ Key, Value string } }
	ask("/ListTagsForResource", map[string]string{"ResourceARN": defaultGroup}, &tags)
	for _, tag := range tags.Tags {
		got["tag "+tag.Key] = tag.Value
	}
	var groups struct {
		Groups []struct{ GroupName, FilterExpression string }
	}
	ask("/Groups", struct{}{}, &groups)
	for _, g := range groups.Groups {
		if g.GroupName != "Default" {
			got["group "+g.GroupName] = g.FilterExpression[len("annotation.n = "):]
		}
	}
	var encryption struct{ EncryptionConfig struct{ KeyId string } }
	ask("/EncryptionConfig", struct{}{}, &encryption)
	if id := encryption.EncryptionConfig.KeyId; id != "" {
		got["encryption"] = id[len("arn:aws:kms:us-east-1:000000000000:alias/"):]
	}
	return got
}

// TestKillControl kills the server while several clients change rules, policies, tags,
// groups and settings. After each restart everything is as it was acknowledged, but
// for changes under way at the kill, which are done or not.
func TestKillControl(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	kills = setting(t, "ROENTGEN_CONTROL_KILLS", kills)
	seed := anySeed(t)
	t.Logf("seed: run again with ROENTGEN_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()

	var clients [][]*configured
	var rngs []*rand.Rand
	for i := range 5 {
		clients = append(clients, thingsOf(i))
		rngs = append(rngs, rand.New(rand.NewPCG(seed, uint64(1+i))))
	}
	var value, acked atomic.Int64
	value.Store(1) // the values of all clients differ, and none is 1
	s := process.Serve(t, dir)
	for kill := range kills {
		var wg sync.WaitGroup
		var stopped atomic.Bool
		for i, things := range clients {
			wg.Go(func() {
				for !stopped.Load() {
					c := things[rngs[i].IntN(len(things))]
					next, there := fmt.Sprint(value.Add(1)), c.may[0] != ""
					if there && !c.stays && rngs[i].IntN(3) == 0 {
						next = ""
					}
					path, body := c.change(next, there)
					switch status, text := post(client, s.URL+path, body); status {
					case 0: // killed
						c.may = append(c.may, next)
						return
					case http.StatusOK:
						c.may = []string{next}
						acked.Add(1)
					default:
						t.Errorf("%s of %s: %d %s", path, c.name, status, text)
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(30+rng.IntN(250)) * time.Millisecond)
		s.Kill()
		stopped.Store(true)
		wg.Wait()
		client.CloseIdleConnections()
		s = process.Serve(t, dir)
		got := readConfigured(t, client, s.URL)
		for _, things := range clients {
			for _, c := range things {
				if !slices.Contains(c.may, got[c.name]) {
					t.Errorf("%s is %q, want one of %q", c.name, got[c.name], c.may)
				}
				c.may = []string{got[c.name]}
				delete(got, c.name)
			}
		}
		for name, value := range got {
			t.Errorf("%s is %q, and nobody made it so", name, value)
		}
		if t.Failed() {
			t.Fatalf("seed %d, after kill %d:\n%s", seed, kill+1, s.Output)
		}
	}
	if n := acked.Load(); n < int64(2*kills) {
		t.Errorf("only %d changes were acknowledged in %d lives: too little was tested", n, kills)
	}
	t.Logf("%d kills, %d changes acknowledged", kills, acked.Load())
}
