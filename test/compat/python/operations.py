"""Calls every operation of X-Ray that boto3 has, and reads the answers.

    operations.py ENDPOINT [BAD]

The key is that of the environment. BAD is a JSON object of keys by the code of the
refusal that they have to get from every operation, each with "access_key_id" and
"secret_access_key".
Prints a line of JSON for each check: {"check": "...", "error": null or text}. The
last ones fail when an operation was not called, or let a bad key in.
"""

import datetime
import json
import sys
import time
import traceback

import boto3
import botocore
import botocore.config
import botocore.exceptions



def client(key=None):
    return boto3.client(
        "xray",
        endpoint_url=sys.argv[1],
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
        region_name="eu-west-1",
        **key and {"aws_access_key_id": key["access_key_id"], "aws_secret_access_key": key["secret_access_key"]} or {},
    )


xray = client()
CALLED = {}  # the arguments of the first call, by operation


def note(params, model, **_):
    CALLED.setdefault(model.name, dict(params))


xray.meta.events.register("before-parameter-build.xray", note)
BAD = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}

NOW = int(time.time())
WINDOW = {"StartTime": NOW - 600, "EndTime": NOW + 600}
TRACE = "1-%08x-00000000000000000000b070" % NOW
INSIGHT = "01234567-89ab-4def-8123-456789abcdef"
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": ["xray:PutTraceSegments"], "Resource": "*"}
        ],
    },
    indent=1,
)


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what} = {got!r}, want {want!r}")


def empty(answer):
    """Wants an answer without members."""
    equal({key for key in answer if key != "ResponseMetadata"}, set(), "members")


def refused(call, code, message=None):
    try:
        call()
    except botocore.exceptions.ClientError as err:
        equal(err.response["Error"]["Code"], code, "code")
        if message is not None:
            equal(err.response["Error"]["Message"], message, "message")
        if not isinstance(err, getattr(xray.exceptions, code, botocore.exceptions.ClientError)):
            raise AssertionError(f"{type(err)} is not a {code}") from err
        return err.response
    raise AssertionError(f"the call succeeded; wanted {code}")


def traces():
    answer = xray.put_trace_segments(
        TraceSegmentDocuments=[
            json.dumps(
                {
                    "trace_id": TRACE, "id": "00000000000000a1", "name": "mill", "start_time": NOW - 2, "end_time": NOW - 1,
                    "links": [{"trace_id": "1-5c631180-000000000000000000000001", "id": "00000000000000ff",
                               "attributes": {"aws.xray.reserved.reference_type": "child"}}],
                }
            )
        ]
    )
    equal(answer["UnprocessedTraceSegments"], [], "UnprocessedTraceSegments")
    equal([t["Id"] for t in xray.batch_get_traces(TraceIds=[TRACE])["Traces"]], [TRACE], "traces")
    summaries = xray.get_trace_summaries(**WINDOW)
    equal([s["Id"] for s in summaries["TraceSummaries"]], [TRACE], "summaries")
    equal([s["Name"] for s in xray.get_trace_graph(TraceIds=[TRACE])["Services"]], ["mill", "mill"], "nodes of the trace")
    for _ in range(150):  # what counts, counts within seconds
        graph = xray.get_service_graph(**WINDOW)
        if len(graph["Services"]) == 2:
            break
        time.sleep(0.1)
    equal([s.get("Type") for s in graph["Services"]], [None, "client"], "nodes")
    series = xray.get_time_series_service_statistics(**WINDOW, Period=300)["TimeSeriesServiceStatistics"]
    equal(sum(p["EdgeSummaryStatistics"]["TotalCount"] for p in series), 1, "requests")


def telemetry():
    empty(
        xray.put_telemetry_records(
            TelemetryRecords=[
                {"Timestamp": NOW, "SegmentsReceivedCount": 5, "SegmentsSentCount": 4, "SegmentsSpilloverCount": 1, "SegmentsRejectedCount": 0,
                 "BackendConnectionErrors": {"TimeoutCount": 1, "HTTPCode5XXCount": 2}}
            ],
            EC2InstanceId="", Hostname="mill-1", ResourceARN="",
        )
    )
    refused(lambda: xray.put_telemetry_records(TelemetryRecords=[]), "InvalidRequestException", "Telemetry records cannot be empty")


def retrieval():
    def start():
        return xray.start_trace_retrieval(TraceIds=[TRACE, "1-5c631180-000000000000000000000001"], **WINDOW)["RetrievalToken"]

    token = start()
    listed = xray.list_retrieved_traces(RetrievalToken=token)
    equal((listed["RetrievalStatus"], listed["TraceFormat"]), ("COMPLETE", "XRAY"), "status and format")
    equal([t["Id"] for t in listed["Traces"]], [TRACE], "traces")
    equal(json.loads(listed["Traces"][0]["Spans"][0]["Document"])["name"], "mill", "name")
    span = json.loads(xray.list_retrieved_traces(RetrievalToken=token, TraceFormat="OTEL")["Traces"][0]["Spans"][0]["Document"])
    equal((span["name"], span["kind"], span["durationNano"], span["resource"]["attributes"]["service.name"]), ("mill", "SERVER", 1000000000, "mill"), "span")
    graph = xray.get_retrieved_traces_graph(RetrievalToken=token)
    equal([s["Service"]["Name"] for s in graph["Services"]], ["mill", "mill"], "nodes")
    equal(graph["Services"][0]["Links"], [{"ReferenceType": "child", "SourceTraceId": TRACE, "DestinationTraceIds": ["1-5c631180-000000000000000000000001"]}], "links")
    refused(lambda: xray.cancel_trace_retrieval(RetrievalToken=token), "InvalidRequestException")
    token = start()
    empty(xray.cancel_trace_retrieval(RetrievalToken=token))
    equal(xray.list_retrieved_traces(RetrievalToken=token)["RetrievalStatus"], "CANCELLED", "status")
    answer = refused(lambda: xray.cancel_trace_retrieval(RetrievalToken="none"), "ResourceNotFoundException")
    equal(answer["ResourceName"], "none", "ResourceName")


def groups_and_tags():
    made = xray.create_group(GroupName="mills", FilterExpression="fault", Tags=[{"Key": "a", "Value": "1"}])["Group"]
    equal(xray.update_group(GroupName="mills", FilterExpression="error")["Group"]["FilterExpression"], "error", "FilterExpression")
    equal(xray.get_group(GroupARN=made["GroupARN"])["Group"]["GroupName"], "mills", "GroupName")
    equal([g["GroupName"] for g in xray.get_groups()["Groups"]], ["Default", "mills"], "groups")
    rule = next(r["SamplingRule"] for r in xray.get_sampling_rules()["SamplingRuleRecords"] if r["SamplingRule"]["RuleName"] == "Default")
    for arn in (made["GroupARN"], rule["RuleARN"]):
        empty(xray.tag_resource(ResourceARN=arn, Tags=[{"Key": "e@mail", "Value": "x@y"}]))
        empty(xray.untag_resource(ResourceARN=arn, TagKeys=["a", "none"]))
        equal(xray.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "e@mail", "Value": "x@y"}], "Tags")
    refused(lambda: xray.tag_resource(ResourceARN=made["GroupARN"], Tags=[{"Key": f"k{i}", "Value": ""} for i in range(50)]),
            "InvalidRequestException", "The resultant tag set must not have more than 50 user tags.")
    empty(xray.delete_group(GroupName="mills"))
    answer = refused(lambda: xray.list_tags_for_resource(ResourceARN=made["GroupARN"]), "ResourceNotFoundException", f"Resource {made['GroupARN']} not found")
    equal(answer["ResourceName"], made["GroupARN"], "ResourceName")


def sampling():
    rule = {"RuleName": "mill", "ResourceARN": "*", "Priority": 7, "FixedRate": 0.5, "ReservoirSize": 3, "ServiceName": "mill",
            "ServiceType": "*", "Host": "*", "HTTPMethod": "GET", "URLPath": "*", "Version": 1}
    made = xray.create_sampling_rule(SamplingRule=rule)["SamplingRuleRecord"]
    equal({key: made["SamplingRule"][key] for key in rule}, rule, "SamplingRule")
    changed = xray.update_sampling_rule(SamplingRuleUpdate={"RuleName": "mill", "FixedRate": 0.25})["SamplingRuleRecord"]["SamplingRule"]
    equal((changed["FixedRate"], changed["ReservoirSize"]), (0.25, 3), "changed")
    targets = xray.get_sampling_targets(
        SamplingStatisticsDocuments=[
            {"RuleName": name, "ClientID": "0123456789abcdef01234567", "Timestamp": NOW, "RequestCount": 3, "SampledCount": 1}
            for name in ("mill", "none")
        ]
    )
    equal([t["FixedRate"] for t in targets["SamplingTargetDocuments"]], [0.25], "targets")
    equal([u["ErrorCode"] for u in targets["UnprocessedStatistics"]], ["400"], "UnprocessedStatistics")
    equal(type(xray.get_sampling_statistic_summaries()["SamplingStatisticSummaries"]), list, "type")
    equal(xray.delete_sampling_rule(RuleName="mill")["SamplingRuleRecord"]["SamplingRule"]["RuleName"], "mill", "RuleName")


def settings():
    put = xray.put_encryption_config(Type="KMS", KeyId="alias/mill")["EncryptionConfig"]
    equal(put, {"KeyId": "arn:aws:kms:us-east-1:000000000000:alias/mill", "Status": "UPDATING", "Type": "KMS"}, "EncryptionConfig")
    equal(xray.get_encryption_config()["EncryptionConfig"]["Status"], "ACTIVE", "Status")
    equal(xray.update_trace_segment_destination(Destination="CloudWatchLogs")["Status"], "PENDING", "Status")
    got = xray.get_trace_segment_destination()
    equal((got["Destination"], got["Status"]), ("CloudWatchLogs", "ACTIVE"), "destination")
    rule = xray.update_indexing_rule(Name="Default", Rule={"Probabilistic": {"DesiredSamplingPercentage": 12.5}})["IndexingRule"]
    equal(type(rule["ModifiedAt"]), datetime.datetime, "type of ModifiedAt")
    equal([r["Rule"]["Probabilistic"]["DesiredSamplingPercentage"] for r in xray.get_indexing_rules()["IndexingRules"]], [12.5], "indexing rules")
    refused(lambda: xray.update_indexing_rule(Name="Other", Rule={"Probabilistic": {"DesiredSamplingPercentage": 1}}), "ResourceNotFoundException")


def policies():
    put = xray.put_resource_policy(PolicyName="mill", PolicyDocument=POLICY, PolicyRevisionId="0")["ResourcePolicy"]
    equal(put["PolicyRevisionId"], "1", "PolicyRevisionId")
    equal(put["PolicyDocument"], '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},'
          '"Action":"xray:PutTraceSegments","Resource":"*"}]}', "PolicyDocument")
    equal([p["PolicyName"] for p in xray.list_resource_policies()["ResourcePolicies"]], ["mill"], "policies")
    refused(lambda: xray.put_resource_policy(PolicyName="mill", PolicyDocument=POLICY, PolicyRevisionId="0"), "InvalidPolicyRevisionIdException",
            "Another concurrent request has modified the resource policy mill")
    refused(lambda: xray.put_resource_policy(PolicyName="mill", PolicyDocument="{"), "MalformedPolicyDocumentException")
    refused(lambda: xray.put_resource_policy(PolicyName="bad name", PolicyDocument=POLICY), "ValidationException",
            "1 validation error detected: Value 'bad name' at 'policyName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [\\w+=,.@-]+")
    refused(lambda: xray.put_resource_policy(PolicyName="mill", PolicyDocument=POLICY.replace("Allow", "Deny").replace(
        '{\n    "Service": "sns.amazonaws.com"\n   }', '"*"').replace("PutTraceSegments", "*")), "LockoutPreventionException")
    empty(xray.delete_resource_policy(PolicyName="mill"))
    refused(lambda: xray.delete_resource_policy(PolicyName="mill"), "InvalidRequestException", "The resource policy mill does not exist.")


def insights():
    equal(xray.get_insight_summaries(GroupName="Default", States=["ACTIVE"], **WINDOW)["InsightSummaries"], [], "InsightSummaries")
    for call in (
        lambda: xray.get_insight(InsightId=INSIGHT),
        lambda: xray.get_insight_events(InsightId=INSIGHT, MaxResults=5),
        lambda: xray.get_insight_impact_graph(InsightId=INSIGHT, **WINDOW),
    ):
        refused(call, "InvalidRequestException", "Insight not found")


def every_operation_was_called():
    equal(sorted(set(xray.meta.service_model.operation_names) - set(CALLED)), [], "operations that were not called")
    if len(CALLED) < 38:
        raise AssertionError(f"{len(CALLED)} operations")


def bad_keys_open_nothing():
    for code, key in BAD.items():
        other = client(key)
        for name, arguments in CALLED.items():
            call = getattr(other, botocore.xform_name(name))
            answer = refused(lambda: call(**arguments), code)
            equal(answer["ResponseMetadata"]["HTTPStatusCode"], 403, f"status of {name}")


for function in (traces, telemetry, retrieval, groups_and_tags, sampling, settings, policies, insights, every_operation_was_called, bad_keys_open_nothing):
    error = None
    try:
        function()
    except Exception:  # every failure is reported, the other checks go on
        error = traceback.format_exc()
    print(json.dumps({"check": function.__name__, "error": error}), flush=True)
