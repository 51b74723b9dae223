package xrayapi_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
	"github.com/aws/smithy-go"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore/crashtest"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

var groupReference = regexp.MustCompile(`group\.name = "([^"]*)"`)

// compileToy stands in for the filter language: it refuses a text with a "}" and
// looks up what group.name names.
func compileToy(expression string, lookup control.Lookup) (control.Match, error) {
	if at := strings.IndexByte(expression, '}'); at >= 0 {
		return nil, fmt.Errorf("Error Location: line 1, position %d : Invalid input symbol: '}'", at+1)
	}
	for _, m := range groupReference.FindAllStringSubmatch(expression, -1) {
		inner, found := lookup(m[1], "")
		if !found {
			return nil, fmt.Errorf("no group %s", m[1])
		}
		if _, err := compileToy(inner, lookup); err != nil {
			return nil, err
		}
	}
	return func(*trace.Row, func() *trace.Row) bool { return true }, nil
}

type groupFixture struct {
	*fixture
	control *control.Store
}

// serveGroups serves with groups on fs, in memory when fs is nil.
func serveGroups(t testing.TB, dir string, fs vfs.FS, edit ...func(*xrayapi.Config)) *groupFixture {
	t.Helper()
	state, err := control.Open(control.Options{
		Dir: dir, FS: fs, Region: "us-west-2", Compile: compileToy,
		Now: func() time.Time { return time.Unix(1795356000, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return &groupFixture{control: state, fixture: serve(t, nil, func(c *xrayapi.Config) {
		c.Region, c.Control = "us-west-2", state
		for _, e := range edit {
			e(c)
		}
	})}
}

// TestSDKGroups leads groups through their life with a real client.
func TestSDKGroups(t *testing.T) {
	mem := vfs.NewCrashableMem()
	f := serveGroups(t, "/", mem)
	client, ctx := sdk(f.fixture), context.Background()

	made, err := client.CreateGroup(ctx, &xray.CreateGroupInput{
		GroupName: aws.String("slow"), FilterExpression: aws.String(`duration > 5 AND http.url CONTAINS "é<&>"`),
		Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("")}, {Key: aws.String("team"), Value: aws.String("till")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := made.Group
	if !regexp.MustCompile(`^arn:aws:xray:us-west-2:000000000000:group/slow/[A-Z2-7]{52}$`).MatchString(*g.GroupARN) {
		t.Errorf("ARN %s", *g.GroupARN)
	}
	if *g.GroupName != "slow" || *g.FilterExpression != `duration > 5 AND http.url CONTAINS "é<&>"` || *g.InsightsConfiguration.InsightsEnabled || *g.InsightsConfiguration.NotificationsEnabled {
		t.Errorf("made %+v", g)
	}
	if kept, err := f.control.Group("slow", ""); err != nil || len(kept.Tags) != 1 || kept.Tags[0] != (control.Tag{Key: "team", Value: "till"}) {
		t.Errorf("kept %+v, %v", kept, err)
	}

	// By name, by ARN, and both or neither.
	for _, in := range []*xray.GetGroupInput{{GroupName: g.GroupName}, {GroupARN: g.GroupARN}} {
		got, err := client.GetGroup(ctx, in)
		if err != nil || *got.Group.GroupARN != *g.GroupARN {
			t.Errorf("get: %+v, %v", got, err)
		}
	}
	wantInvalid(t, "both", "Provide either GroupName or GroupARN", func() error {
		_, err := client.GetGroup(ctx, &xray.GetGroupInput{GroupName: g.GroupName, GroupARN: g.GroupARN})
		return err
	})

	updated, err := client.UpdateGroup(ctx, &xray.UpdateGroupInput{
		GroupARN: g.GroupARN, FilterExpression: aws.String("fault"),
		InsightsConfiguration: &types.InsightsConfiguration{InsightsEnabled: aws.Bool(true), NotificationsEnabled: aws.Bool(true)},
	})
	if err != nil || *updated.Group.FilterExpression != "fault" || *updated.Group.GroupARN != *g.GroupARN || !*updated.Group.InsightsConfiguration.NotificationsEnabled {
		t.Fatalf("update: %+v, %v", updated, err)
	}
	wantInvalid(t, "only insights", "Filter Expression is empty", func() error {
		_, err := client.UpdateGroup(ctx, &xray.UpdateGroupInput{GroupName: g.GroupName, InsightsConfiguration: &types.InsightsConfiguration{InsightsEnabled: aws.Bool(false)}})
		return err
	})

	if _, err := client.CreateGroup(ctx, &xray.CreateGroupInput{GroupName: aws.String("Able"), FilterExpression: aws.String("ok")}); err != nil {
		t.Fatal(err)
	}
	wantNames := func(f *groupFixture, want ...string) {
		t.Helper()
		var got []string
		p := xray.NewGetGroupsPaginator(sdk(f.fixture), &xray.GetGroupsInput{})
		for p.HasMorePages() {
			page, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range page.Groups {
				got = append(got, *g.GroupName)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("groups %v, want %v", got, want)
		}
	}
	wantNames(f, "Default", "Able", "slow")

	// After a crash everything that was answered is there.
	again := serveGroups(t, "/", mem.CrashClone(vfs.CrashCloneCfg{}))
	wantNames(again, "Default", "Able", "slow")
	got, err := sdk(again.fixture).GetGroup(ctx, &xray.GetGroupInput{GroupARN: g.GroupARN})
	if err != nil || *got.Group.FilterExpression != "fault" || !*got.Group.InsightsConfiguration.InsightsEnabled {
		t.Errorf("after a crash: %+v, %v", got, err)
	}

	if _, err := client.DeleteGroup(ctx, &xray.DeleteGroupInput{GroupName: g.GroupName}); err != nil {
		t.Fatal(err)
	}
	remade, err := client.CreateGroup(ctx, &xray.CreateGroupInput{GroupName: g.GroupName, FilterExpression: aws.String("fault")})
	if err != nil || *remade.Group.GroupARN == *g.GroupARN {
		t.Errorf("made again: %+v, %v", remade, err)
	}
	wantInvalid(t, "the old ARN", "Group not found", func() error {
		_, err := client.DeleteGroup(ctx, &xray.DeleteGroupInput{GroupARN: g.GroupARN})
		return err
	})
	if kept, err := f.control.Group("slow", ""); err != nil || len(kept.Tags) != 0 || kept.Insights.Enabled {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

func wantInvalid(t *testing.T, what, text string, call func() error) {
	t.Helper()
	var invalid *types.InvalidRequestException
	if err := call(); !errors.As(err, &invalid) || *invalid.Message != text {
		t.Errorf("%s: %v, want %q", what, err, text)
	}
}

// TestGroupAnswers wants the very bytes of answers.
func TestGroupAnswers(t *testing.T) {
	f := serveGroups(t, "", nil)
	many := func(n int) string {
		var tags []string
		for i := range n {
			tags = append(tags, fmt.Sprintf(`{"Key":"k%d","Value":"v"}`, i))
		}
		return strings.Join(tags, ",")
	}
	if _, err := f.control.CreateGroup(t.Context(), control.NewGroup{Name: "a", Expression: "ok"}); err != nil {
		t.Fatal(err)
	}
	const (
		group      = `{"Group":{"FilterExpression":%s,"GroupARN":"arn:aws:xray:us-west-2:000000000000:group/%s/X","GroupName":"%s","InsightsConfiguration":{"InsightsEnabled":%t,"NotificationsEnabled":%t}}}`
		defaultARN = `arn:aws:xray:us-west-2:000000000000:group/Default`
		invalid    = "InvalidRequestException"
		validation = "ValidationException"
		empty      = `{"Message":"Filter Expression is empty"}`
		unknown    = `{"Message":"Group not found"}`
		either     = `{"Message":"Provide either GroupName or GroupARN"}`
	)
	suffix := regexp.MustCompile(`/[A-Z2-7]{52}"`)
	for _, tt := range []struct {
		name, path, body, code, want string
	}{
		{"default", "/GetGroup", `{"GroupARN":"` + defaultARN + `"}`, "", `{"Group":{"FilterExpression":null,"GroupARN":"` + defaultARN + `","GroupName":"Default","InsightsConfiguration":{"InsightsEnabled":false,"NotificationsEnabled":false}}}`},
		{"neither", "/GetGroup", `{}`, invalid, either},
		{"nulls", "/DeleteGroup", `{"GroupName":null,"GroupARN":null}`, invalid, either},
		{"update neither", "/UpdateGroup", `{"FilterExpression":"ok"}`, invalid, either},
		{"case of names", "/GetGroup", `{"GroupName":"A"}`, invalid, unknown},
		{"foreign ARN", "/DeleteGroup", `{"GroupARN":"arn:aws:xray:us-west-2:000000000000:group/a"}`, invalid, unknown},
		{"update unknown", "/UpdateGroup", `{"GroupName":"b","FilterExpression":"ok"}`, invalid, unknown},

		{"no filter", "/CreateGroup", `{"GroupName":"b"}`, invalid, empty},
		{"white space", "/CreateGroup", `{"GroupName":"b","FilterExpression":" \n\t"}`, invalid, empty},
		{"update empty", "/UpdateGroup", `{"GroupName":"a","FilterExpression":""}`, invalid, empty},
		{"update null", "/UpdateGroup", `{"GroupName":"a","FilterExpression":null,"InsightsConfiguration":{"InsightsEnabled":true}}`, invalid, empty},
		{"bad filter", "/CreateGroup", `{"GroupName":"b","FilterExpression":"ok }"}`, invalid, `{"Message":"Error Location: line 1, position 4 : Invalid input symbol: '}'"}`},
		{"update bad filter", "/UpdateGroup", `{"GroupName":"a","FilterExpression":"}"}`, invalid, `{"Message":"Error Location: line 1, position 1 : Invalid input symbol: '}'"}`},
		{"nothing changed", "/GetGroup", `{"GroupName":"a"}`, "", fmt.Sprintf(group, `"ok"`, "a", "a", false, false)},

		{"taken", "/CreateGroup", `{"GroupName":"a","FilterExpression":"ok"}`, invalid, `{"Message":"a already exists"}`},
		{"create default", "/CreateGroup", `{"GroupName":"Default","FilterExpression":"ok"}`, invalid, `{"Message":"Default already exists"}`},
		{"update default", "/UpdateGroup", `{"GroupName":"Default","FilterExpression":"ok"}`, invalid, `{"Message":"Default group cannot be updated"}`},
		{"delete default", "/DeleteGroup", `{"GroupARN":"` + defaultARN + `"}`, invalid, `{"Message":"Default group cannot be deleted"}`},
		{"name", "/CreateGroup", `{"GroupName":"a/b","FilterExpression":"ok"}`, invalid, `{"Message":"Group name can only contain letters, digits and dashes"}`},

		{"no name", "/CreateGroup", `{"FilterExpression":"ok"}`, validation, `{"message":"1 validation error detected: Value null at 'groupName' failed to satisfy constraint: Member must not be null"}`},
		{"long name", "/CreateGroup", `{"GroupName":"` + strings.Repeat("x", 33) + `","FilterExpression":"ok"}`, validation, `{"message":"1 validation error detected: Value '` + strings.Repeat("x", 33) + `' at 'groupName' failed to satisfy constraint: Member must have length less than or equal to 32"}`},
		{"empty ARN", "/UpdateGroup", `{"GroupARN":"","FilterExpression":"ok"}`, validation, `{"message":"1 validation error detected: Value '' at 'groupARN' failed to satisfy constraint: Member must have length greater than or equal to 1"}`},
		{"tag without value", "/CreateGroup", `{"GroupName":"b","FilterExpression":"ok","Tags":[{"Key":"k"}]}`, validation, `{"message":"1 validation error detected: Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null"}`},
		{"null tag", "/CreateGroup", `{"GroupName":"b","FilterExpression":"ok","Tags":[null]}`, validation, `{"message":"1 validation error detected: Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null"}`},
		{"system tag", "/CreateGroup", `{"GroupName":"b","FilterExpression":"ok","Tags":[{"Key":"aws:k","Value":"v"}]}`, invalid, `{"Message":"Caller is an end user and not allowed to mutate system tags"}`},
		{"51 tags", "/CreateGroup", `{"GroupName":"b","FilterExpression":"ok","Tags":[` + many(51) + `]}`, invalid, `{"Message":"The resultant tag set must not have more than 50 user tags."}`},
		{"not made", "/GetGroup", `{"GroupName":"b"}`, invalid, unknown},
		{"50 tags", "/CreateGroup", `{"GroupName":"b","FilterExpression":"ok","Tags":[` + many(50) + `]}`, "", fmt.Sprintf(group, `"ok"`, "b", "b", false, false)},

		{"notifications alone", "/CreateGroup", `{"GroupName":"c","FilterExpression":"ok","InsightsConfiguration":{"NotificationsEnabled":true}}`, invalid, `{"Message":"Notifications can only be enabled on a group with insights enabled"}`},
		{"insights", "/CreateGroup", `{"GroupName":"c","FilterExpression":"ok","InsightsConfiguration":{"InsightsEnabled":true}}`, "", fmt.Sprintf(group, `"ok"`, "c", "c", true, false)},
		{"notifications", "/UpdateGroup", `{"GroupName":"c","FilterExpression":"ok","InsightsConfiguration":{"NotificationsEnabled":true}}`, "", fmt.Sprintf(group, `"ok"`, "c", "c", true, true)},
		{"insights stay", "/UpdateGroup", `{"GroupName":"c","FilterExpression":"fault"}`, "", fmt.Sprintf(group, `"fault"`, "c", "c", true, true)},
		{"insights off", "/UpdateGroup", `{"GroupName":"c","FilterExpression":"fault","InsightsConfiguration":{"InsightsEnabled":false}}`, "", fmt.Sprintf(group, `"fault"`, "c", "c", false, false)},
		{"number", "/UpdateGroup", `{"GroupName":"c","FilterExpression":5}`, "SerializationException", `{"Message":"NUMBER_VALUE can not be converted to a String"}`},

		{"refers", "/CreateGroup", `{"GroupName":"d","FilterExpression":"group.name = \"c\""}`, "", fmt.Sprintf(group, `"group.name = \"c\""`, "d", "d", false, false)},
		{"refers to nothing", "/CreateGroup", `{"GroupName":"e","FilterExpression":"group.name = \"nobody\""}`, invalid, `{"Message":"no group nobody"}`},
		{"circle", "/UpdateGroup", `{"GroupName":"c","FilterExpression":"group.name = \"d\""}`, invalid, `{"Message":"the filter expression refers to its own group c, directly or through other groups"}`},

		{"token", "/Groups", `{"NextToken":"x"}`, invalid, `{"Message":"Next Token not supported"}`},
		{"delete", "/DeleteGroup", `{"GroupName":"c"}`, "", `{}`},
		{"delete again", "/DeleteGroup", `{"GroupName":"c"}`, invalid, unknown},
	} {
		status, code, answer := f.post(t, tt.path, tt.body)
		answer = suffix.ReplaceAllString(answer, `/X"`)
		if code != tt.code || answer != tt.want || (status == 200) != (code == "") {
			t.Errorf("%s: %d %s\n got %s\nwant %s", tt.name, status, code, answer, tt.want)
		}
	}
}

// TestGroupLimit wants AWS's limit in AWS's mode only.
func TestGroupLimit(t *testing.T) {
	for _, limits := range []bool{false, true} {
		f := serveGroups(t, "", nil, func(c *xrayapi.Config) { c.AWSLimits = limits })
		for i := range 26 {
			status, _, answer := f.post(t, "/CreateGroup", fmt.Sprintf(`{"GroupName":"g%d","FilterExpression":"ok"}`, i))
			refused := limits && i == 25
			if refused && answer != `{"Message":"The number of groups has reached its limit of 25"}` || !refused && status != 200 {
				t.Errorf("limits %t, group %d: %d %s", limits, i, status, answer)
			}
		}
	}
}

// TestGroupTrouble wants answers that make clients try again when the disk fails,
// and the old state in force.
func TestGroupTrouble(t *testing.T) {
	faults := crashtest.NewFaults(vfs.NewMem())
	f := serveGroups(t, "/", faults)
	client := sdkOnce(f.fixture)
	faults.Arm(crashtest.Plan{Err: syscall.ENOSPC})
	_, err := client.CreateGroup(t.Context(), &xray.CreateGroupInput{GroupName: aws.String("a"), FilterExpression: aws.String("ok")})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "ServiceUnavailableException" || api.ErrorMessage() != "The server's disk is full; try again when there is room" {
		t.Errorf("create on a full disk: %v", err)
	}
	faults.Disarm()
	if _, _, answer := f.post(t, "/GetGroup", `{"GroupName":"a"}`); answer != `{"Message":"Group not found"}` {
		t.Errorf("answer %s", answer)
	}
	if _, err := client.CreateGroup(t.Context(), &xray.CreateGroupInput{GroupName: aws.String("a"), FilterExpression: aws.String("ok")}); err != nil {
		t.Errorf("create afterwards: %v", err)
	}
}

// TestGroupsWithoutFilters wants groups refused, rather than kept unread, where
// expressions cannot be compiled.
func TestGroupsWithoutFilters(t *testing.T) {
	f := serve(t, nil, nil)
	for _, path := range []string{"/CreateGroup", "/UpdateGroup"} {
		if status, code, _ := f.post(t, path, `{"GroupName":"a","FilterExpression":"ok"}`); status != 501 || code != "NotImplementedException" {
			t.Errorf("%s: %d %s", path, status, code)
		}
	}
	if _, _, answer := f.post(t, "/DeleteGroup", `{"GroupName":"a"}`); answer != `{"Message":"Group not found"}` {
		t.Errorf("delete: %s", answer)
	}
}
