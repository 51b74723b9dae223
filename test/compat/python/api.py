"""Drives the X-Ray API through boto3, as a test author's program would.

    api.py ENDPOINT [full|small]

With "full" the server is one that has no room on its disk, with "small" one that
takes in a few kilobytes at a time.
Prints a line of JSON for each check: {"check": "...", "error": null or text}.
"""

import concurrent.futures
import datetime
import json
import os
import secrets
import sys
import time
import traceback

import boto3
import botocore.config
import botocore.exceptions

ENDPOINT = sys.argv[1]
CREDENTIALS = {
    "region_name": "eu-west-1",
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
}


def client(**config):
    return boto3.client(
        "xray",
        endpoint_url=ENDPOINT,
        config=botocore.config.Config(retries={"total_max_attempts": 1}, **config),
        **CREDENTIALS,
    )


xray = client()
MODE = sys.argv[2] if len(sys.argv) > 2 else "usual"
CHECKS = []


def check(function, mode="usual"):
    if mode == MODE:
        CHECKS.append(function)
    return function


def check_full(function):
    return check(function, "full")


def check_small(function):
    return check(function, "small")


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what} = {got!r}, want {want!r}")


def trace_id():
    return "1-%08x-%s" % (int(time.time()), secrets.token_hex(12))


def span_id():
    return secrets.token_hex(8)


def document(trace, **more):
    now = time.time()
    doc = {
        "trace_id": trace,
        "id": span_id(),
        "name": "library",
        "start_time": now - 1,
        "end_time": now - 0.5,
    }
    doc.update(more)
    return {key: value for key, value in doc.items() if value is not ...}


def put(*docs):
    answer = xray.put_trace_segments(
        TraceSegmentDocuments=[doc if isinstance(doc, str) else json.dumps(doc) for doc in docs]
    )
    equal(answer["ResponseMetadata"]["HTTPStatusCode"], 200, "status")
    return answer["UnprocessedTraceSegments"]


def refused(call, code, message, kind=None, status=400):
    """Calls and expects a ClientError with this code and text, of this class."""
    try:
        call()
    except botocore.exceptions.ClientError as err:
        equal(err.response["Error"]["Code"], code, "code")
        if message is not None:
            equal(err.response["Error"]["Message"], message, "message")
        equal(err.response["ResponseMetadata"]["HTTPStatusCode"], status, "status")
        if kind is not None and not isinstance(err, kind):
            raise AssertionError(f"{type(err)} is not {kind}") from err
        return
    raise AssertionError(f"the call succeeded; wanted {code}")


@check
def put_and_read_back():
    trace = trace_id()
    doc = document(
        trace,
        annotations={"shelf": "B7", "books": 3, "rare": True, "weight": 1.25},
        metadata={"default": {"list": [1, "two", None, {"three": 3}]}},
        http={"request": {"method": "GET", "url": "http://library.example/b/7"}, "response": {"status": 200}},
        user="nadia",
    )
    equal(put(doc), [], "UnprocessedTraceSegments")
    answer = xray.batch_get_traces(TraceIds=[trace])
    equal(len(answer["Traces"]), 1, "number of traces")
    got = answer["Traces"][0]
    equal(got["Id"], trace, "Id")
    equal(got["LimitExceeded"], False, "LimitExceeded")
    if abs(got["Duration"] - (doc["end_time"] - doc["start_time"])) > 1e-3:
        raise AssertionError(f"Duration = {got['Duration']}")
    equal(len(got["Segments"]), 1, "number of segments")
    equal(got["Segments"][0]["Id"], doc["id"], "segment Id")
    back = json.loads(got["Segments"][0]["Document"])
    equal(back, doc, "Document")


@check
def refusals_of_single_documents():
    trace = trace_id()
    bad_id = document(trace, id="not-an-id")
    cases = [
        ("{", None, "ParseError", "Invalid segment. ErrorCode: ParseError"),
        ("[]", None, "ParseError", "Invalid entity. ErrorCode: ParseError"),
        ("{}", None, "MissingId", "Invalid segment. ErrorCode: MissingId"),
        (bad_id, "not-an-id", "InvalidId", "Invalid segment. ErrorCode: InvalidId"),
    ]
    for key, code in (
        ("name", "MissingName"),
        ("trace_id", "MissingTraceId"),
        ("start_time", "MissingStartTime"),
        ("end_time", "MissingEndTime"),
    ):
        doc = document(trace, **{key: ...})
        cases.append((doc, doc["id"], code, f"Invalid segment. ErrorCode: {code}"))
    doc = document(trace, trace_id="1-2-3")
    cases.append((doc, doc["id"], "InvalidTraceId", "Invalid segment. ErrorCode: InvalidTraceId"))
    doc = document(trace, in_progress=True)
    cases.append(
        (doc, doc["id"], "InProgressSegmentHasEndTime", "Invalid segment. ErrorCode: InProgressSegmentHasEndTime")
    )
    doc = document(trace, type="subsegment")
    cases.append(
        (doc, doc["id"], "MissingParentId", "Invalid subsegment. ErrorCode: MissingParentId, Cause: null")
    )
    doc = document(trace, type="other")
    cases.append((doc, doc["id"], "UnknownType", "Invalid entity. ErrorCode: UnknownType"))
    doc = document(trace, parent_id="invalid")
    cases.append((doc, doc["id"], "InvalidParentId", "Invalid segment. ErrorCode: InvalidParentId"))
    doc = document(trace, subsegments=[{"id": span_id(), "name": "inner", "start_time": 1}])
    cases.append(
        (doc, doc["id"], "MissingEndTime", "Invalid subsegment. ErrorCode: MissingEndTime, Cause: null")
    )
    for doc, ident, code, message in cases:
        want = {"ErrorCode": code, "Message": message}
        if ident is not None:
            want["Id"] = ident
        equal(put(doc), [want], f"refusal of {doc!r}")
    equal(xray.batch_get_traces(TraceIds=[trace])["Traces"], [], "traces of refused documents")


@check
def good_siblings_of_bad_documents_are_stored():
    trace = trace_id()
    good, bad, last = document(trace), document(trace, name=...), document(trace, name="archive")
    unprocessed = put(good, "nonsense", bad, last)
    equal([entry.get("Id") for entry in unprocessed], [None, bad["id"]], "refused ids")
    equal([entry["ErrorCode"] for entry in unprocessed], ["ParseError", "MissingName"], "codes")
    segments = xray.batch_get_traces(TraceIds=[trace])["Traces"][0]["Segments"]
    equal({segment["Id"] for segment in segments}, {good["id"], last["id"]}, "stored segments")


@check
def batch_get_traces_in_order_of_nothing():
    ids = [trace_id() for _ in range(3)]
    for trace in ids:
        equal(put(document(trace)), [], "refusals")
    unknown = trace_id()
    answer = xray.batch_get_traces(TraceIds=[*ids, unknown])
    equal(sorted(trace["Id"] for trace in answer["Traces"]), sorted(ids), "traces")
    equal(answer["UnprocessedTraceIds"], [], "UnprocessedTraceIds")
    equal(answer.get("NextToken"), None, "NextToken")
    equal(xray.batch_get_traces(TraceIds=[])["Traces"], [], "traces of no ids")
    pages = list(xray.get_paginator("batch_get_traces").paginate(TraceIds=ids))
    equal(sorted(t["Id"] for page in pages for t in page["Traces"]), sorted(ids), "paginated traces")


@check
def typed_exceptions():
    kind = xray.exceptions.InvalidRequestException
    trace = trace_id()
    refused(
        lambda: xray.batch_get_traces(TraceIds=["rubbish"]),
        "InvalidRequestException", "Invalid trace id rubbish: incorrect id format", kind,
    )
    refused(
        lambda: xray.batch_get_traces(TraceIds=[trace, trace]),
        "InvalidRequestException", "Containing duplicate trace ids", kind,
    )
    refused(
        lambda: xray.batch_get_traces(TraceIds=[trace], NextToken="foreign"),
        "InvalidRequestException", "NextToken is currently not supported", kind,
    )
    refused(
        lambda: xray.put_trace_segments(TraceSegmentDocuments=[]),
        "InvalidRequestException", "Segments can not be empty", kind,
    )
    refused(
        lambda: xray.put_telemetry_records(TelemetryRecords=[]),
        "InvalidRequestException", "Telemetry records cannot be empty", kind,
    )
    now = time.time()
    refused(
        lambda: xray.get_trace_summaries(StartTime=now, EndTime=now - 1),
        "InvalidRequestException", "End time cannot be earlier than start time", kind,
    )
    refused(
        lambda: xray.get_trace_summaries(StartTime=now - 1, EndTime=now, NextToken="foreign"),
        "InvalidRequestException", "Invalid token foreign", kind,
    )


@check
def validation_by_the_server():
    # With its own validation off, boto3 sends what the service must refuse.
    raw = client(parameter_validation=False)
    prefix = "1 validation error detected: Value "
    refused(
        raw.put_trace_segments,
        "ValidationException",
        prefix + "null at 'traceSegmentDocuments' failed to satisfy constraint: Member must not be null",
    )
    refused(
        raw.batch_get_traces,
        "ValidationException",
        prefix + "null at 'traceIds' failed to satisfy constraint: Member must not be null",
    )
    now = time.time()
    refused(
        lambda: raw.get_trace_summaries(StartTime=now - 1, EndTime=now, TimeRangeType="Invalid"),
        "ValidationException",
        prefix + "'Invalid' at 'timeRangeType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [TraceId, Service, Event]",
    )
    refused(
        lambda: raw.put_telemetry_records(TelemetryRecords=[{}]),
        "ValidationException",
        prefix + "null at 'telemetryRecords.1.member.timestamp' failed to satisfy constraint: Member must not be null",
    )


@check
def summaries_over_many_pages():
    # 350 traces with starts of their own, in a window that nothing else uses.
    base = 1_600_000_000 + int.from_bytes(secrets.token_bytes(3), "big")
    docs, want = [], {}
    for i in range(350):
        trace = trace_id()
        start = base + i * 0.1
        doc = document(trace, start_time=start, end_time=start + 0.25, annotations={"n": i})
        if i % 7 == 0:
            doc["fault"] = True
        docs.append(doc)
        want[trace] = i
    for i in range(0, len(docs), 50):
        equal(put(*docs[i : i + 50]), [], "refusals")
    pages = 0
    got = {}
    paginator = xray.get_paginator("get_trace_summaries")
    for page in paginator.paginate(StartTime=base, EndTime=base + 60, TimeRangeType="TraceId"):
        pages += 1
        for summary in page["TraceSummaries"]:
            if summary["Id"] in got:
                raise AssertionError(f"{summary['Id']} came twice")
            got[summary["Id"]] = summary
    equal(got.keys(), want.keys(), "traces of all pages")
    if pages < 2:
        raise AssertionError(f"{len(got)} summaries came in {pages} page")
    for trace, i in want.items():
        summary = got[trace]
        equal(summary["HasFault"], i % 7 == 0, "HasFault")
        equal(summary["Annotations"]["n"][0]["AnnotationValue"], {"NumberValue": float(i)}, "annotation")
        equal(summary["EntryPoint"]["Name"], "library", "EntryPoint")
        equal(summary["IsPartial"], False, "IsPartial")
        equal(round(summary["Duration"], 3), 0.25, "Duration")
        equal(round(summary["ResponseTime"], 3), 0.25, "ResponseTime")
        equal(summary["Http"], {}, "Http")
        equal({(s["Name"], s.get("Type")) for s in summary["ServiceIds"]},
              {("library", None), ("library", "client")}, "ServiceIds")
    # Half-open windows: the start belongs to it, the end does not.
    half = [s for page in paginator.paginate(StartTime=base, EndTime=base + 10) for s in page["TraceSummaries"]]
    equal(sorted(want[s["Id"]] for s in half), list(range(100)), "traces of a half-open window")


@check
def summaries_by_event_time():
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    trace = trace_id()
    old = time.time() - 3600
    equal(put(document(trace, start_time=old, end_time=old + 1)), [], "refusals")
    after = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)

    def found(kind, start, end):
        pages = xray.get_paginator("get_trace_summaries").paginate(
            StartTime=start, EndTime=end, TimeRangeType=kind
        )
        return any(s["Id"] == trace for page in pages for s in page["TraceSummaries"])

    equal(found("Event", before, after), True, "found by its receipt")
    equal(found("TraceId", before, after), False, "found by a start an hour later")
    equal(found("TraceId", old - 1, old + 1), True, "found by its start")
    equal(found("Service", old - 60, old + 60), True, "found by its end")


@check
def an_in_progress_segment_is_visible_and_then_complete():
    trace = trace_id()
    now = time.time()
    begin = document(trace, start_time=now - 5, end_time=..., in_progress=True)
    equal(put(begin), [], "refusals")
    got = xray.batch_get_traces(TraceIds=[trace])["Traces"][0]
    equal(got.get("Duration"), None, "Duration in progress")
    equal(json.loads(got["Segments"][0]["Document"])["in_progress"], True, "in_progress")
    whole = {**begin, "end_time": now - 1}
    del whole["in_progress"]
    equal(put(whole), [], "refusals")
    equal(put({**whole, "name": "too late"}), [], "refusals of a second complete document")
    got = xray.batch_get_traces(TraceIds=[trace])["Traces"][0]
    equal(json.loads(got["Segments"][0]["Document"]), whole, "Document")


@check
def the_endpoint_comes_from_the_environment():
    os.environ["AWS_ENDPOINT_URL_XRAY"] = ENDPOINT
    try:
        answer = boto3.client("xray", **CREDENTIALS).batch_get_traces(TraceIds=[trace_id()])
        equal(answer["Traces"], [], "Traces")
    finally:
        del os.environ["AWS_ENDPOINT_URL_XRAY"]


@check
def telemetry_is_taken():
    record = {
        "Timestamp": time.time(),
        "SegmentsReceivedCount": 10,
        "SegmentsSentCount": 9,
        "SegmentsSpilloverCount": 0,
        "SegmentsRejectedCount": 1,
        "BackendConnectionErrors": {"TimeoutCount": 0, "OtherCount": 2},
    }
    answer = xray.put_telemetry_records(TelemetryRecords=[record], Hostname="host-1", EC2InstanceId="", ResourceARN="")
    equal(answer["ResponseMetadata"]["HTTPStatusCode"], 200, "status")


@check_full
def a_full_disk_refuses():
    refused(
        lambda: xray.put_trace_segments(TraceSegmentDocuments=[json.dumps(document(trace_id()))]),
        "ServiceUnavailableException", "The server's disk is full; try again when there is room",
        status=503,
    )


@check_full
def the_client_tries_again_by_itself():
    # boto3 knows the status as one that passes, and asks again as often as it may.
    patient = boto3.client(
        "xray", endpoint_url=ENDPOINT, config=botocore.config.Config(retries={"total_max_attempts": 2}), **CREDENTIALS
    )
    try:
        patient.put_trace_segments(TraceSegmentDocuments=[json.dumps(document(trace_id()))])
    except botocore.exceptions.ClientError as err:
        equal(err.response["ResponseMetadata"]["RetryAttempts"], 1, "RetryAttempts")
        return
    raise AssertionError("the call succeeded")


@check_full
def reads_go_on():
    equal(xray.batch_get_traces(TraceIds=[trace_id()])["Traces"], [], "Traces")


@check_small
def overload_throttles():
    # Many at once are more than the server takes in at a time.
    trace = trace_id()
    deadline = time.monotonic() + 30
    stored, throttled = [], []

    def sender():
        mine = client()
        while not throttled and time.monotonic() < deadline:
            doc = document(trace, metadata={"fill": "x" * 2000})
            try:
                mine.put_trace_segments(TraceSegmentDocuments=[json.dumps(doc)])
                stored.append(doc["id"])
            except mine.exceptions.ThrottledException as err:
                throttled.append(err)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(sender) for _ in range(16)]:
            future.result()
    if not throttled:
        raise AssertionError(f"nobody was throttled over {len(stored)} documents")
    equal(throttled[0].response["Error"]["Code"], "ThrottledException", "code")
    equal(throttled[0].response["ResponseMetadata"]["HTTPStatusCode"], 429, "status")
    traces = xray.batch_get_traces(TraceIds=[trace])["Traces"]
    kept = {s["Id"] for t in traces for s in t["Segments"]}
    equal(kept, set(stored), "documents of acknowledged calls")


def main():
    for function in CHECKS:
        error = None
        try:
            function()
        except Exception:  # every failure is reported, the other checks go on
            error = traceback.format_exc()
        print(json.dumps({"check": function.__name__, "error": error}), flush=True)


main()
