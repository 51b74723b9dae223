"""Drives the X-Ray API through boto3, as a test author's program would.

    api.py ENDPOINT [asking|full|small]

With "asking" it puts questions about traces, by filters, graphs and groups; the
server must be new. With "full" the server is one that has no room on its disk,
with "small" one that takes in a few kilobytes at a time.
Prints a line of JSON for each check: {"check": "...", "error": null or text}.
"""

import concurrent.futures
import datetime
import json
import os
import secrets
import sys
import threading
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


def check_asking(function):
    return check(function, "asking")


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


def window(start, end, **more):
    return {"StartTime": start, "EndTime": end, **more}


def ids_of(pause=0, **question):
    """The ids of all pages, none of which may come twice, and how many pages they were."""
    pages, ids = 0, []
    for page in xray.get_paginator("get_trace_summaries").paginate(**question):
        pages += 1
        time.sleep(pause)
        ids += [summary["Id"] for summary in page["TraceSummaries"]]
    if len(set(ids)) != len(ids):
        raise AssertionError(f"{len(ids) - len(set(ids))} of {len(ids)} traces came twice")
    return set(ids), pages


@check_asking
def filtered_pages_while_a_writer_adds():
    # Half of 900 traces match; meanwhile more of both kinds arrive, in the same
    # window, whichever clock it is.
    base = 1_650_000_000
    began = time.time() - 2

    def some(n, kind):
        docs = []
        for i in range(n):
            start = base + secrets.randbelow(100_000) / 1000
            docs.append(document(trace_id(), start_time=start, end_time=start + 0.5,
                                 annotations={"wanted": i % 2 == 0, "kind": kind}))
        return docs

    first = some(900, "early")
    for i in range(0, len(first), 100):
        equal(put(*first[i : i + 100]), [], "refusals")
    want = {doc["trace_id"] for doc in first if doc["annotations"]["wanted"]}
    stop, added, failures = threading.Event(), [], []

    def writer():
        mine = client()
        while not stop.is_set():
            docs = some(10, "late")
            try:
                mine.put_trace_segments(TraceSegmentDocuments=[json.dumps(doc) for doc in docs])
            except Exception as err:
                failures.append(err)
                return
            added.extend(doc["trace_id"] for doc in docs if doc["annotations"]["wanted"])
            time.sleep(0.005)

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        for kind, start, end in (
            ("TraceId", base - 1, base + 101), ("Event", began, time.time() + 600), ("Service", base - 60, base + 200),
        ):
            got, pages = ids_of(0.1, **window(start, end, TimeRangeType=kind, FilterExpression="annotation.wanted = true"))
            equal(len(want - got), 0, f"{kind}: traces left out")
            if pages < 3:
                raise AssertionError(f"{kind}: {len(got)} traces in {pages} pages")
    finally:
        stop.set()
        thread.join()
    equal(failures, [], "failures of the writer")
    if len(added) < 20:
        raise AssertionError(f"the writer added {len(added)} only")
    got, _ = ids_of(**window(base - 1, base + 101, FilterExpression="annotation.wanted = true"))
    equal(got, want | set(added), "traces in the end")
    got, _ = ids_of(**window(base - 1, base + 101, FilterExpression='annotation.wanted AND annotation.kind = "early"'))
    equal(got, want, "early traces in the end")


@check_asking
def sampled_summaries():
    now = time.time()
    docs = [document(trace_id(), name="dice") for _ in range(40)]
    equal(put(*docs), [], "refusals")
    everything = {doc["trace_id"] for doc in docs}
    event = window(now - 60, now + 60, TimeRangeType="Event", FilterExpression='service("dice")')

    def sampled(strategy, **more):
        return ids_of(**{**event, "Sampling": True, "SamplingStrategy": strategy, **more})[0]

    equal(sampled({"Name": "FixedRate", "Value": 1}), everything, "rate 1")
    equal(sampled({"Name": "FixedRate", "Value": 0}), set(), "rate 0")
    equal(sampled({"Name": "PartialScan", "Value": 7}), everything, "partial scan")
    equal(sampled({"Name": "FixedRate", "Value": 7}, Sampling=False), everything, "without sampling")
    half = sampled({"Name": "FixedRate", "Value": 0.5})
    equal(half, sampled({"Name": "FixedRate", "Value": 0.5}), "the same question again")
    if not half < everything or len(half) < 5:
        raise AssertionError(f"{len(half)} of 40 at rate 0.5")
    kind = xray.exceptions.InvalidRequestException
    rate = "sampling rate must be specified and its value must be between [0, 1]"
    for value in ({"Value": 1.5}, {"Value": -0.1}, {}):
        refused(lambda value=value: sampled({"Name": "FixedRate", **value}), "InvalidRequestException", rate, kind)
    for other in ("TraceId", "Service"):
        refused(
            lambda other=other: sampled({"Name": "FixedRate", "Value": 0.5}, TimeRangeType=other),
            "InvalidRequestException",
            f"Cannot use FixedRate with input time range type: {other}. Please try using time range type: Event", kind,
        )


@check_asking
def invalid_filters():
    now = time.time()
    for text, message in (
        ("((fault)", "Error Location: line 1, position 9 : missing ')' at end of expression"),
        ("fault AND (madeup = 7)", "Error Location: line 1, position 12 : Invalid input symbol: 'ma'"),
    ):
        refused(
            lambda text=text: xray.get_trace_summaries(**window(now - 60, now, FilterExpression=text)),
            "InvalidRequestException", message, xray.exceptions.InvalidRequestException,
        )
    # A value of the wrong type is no error, and never true.
    equal(xray.get_trace_summaries(**window(now - 60, now + 60, FilterExpression='duration = "slow"'))["TraceSummaries"],
          [], "a text as duration")


def outing(prefix, color="red", fault=False):
    """Sends a trace: prefix-front calls prefix-back, which sends a segment, and a table."""
    trace, call, now = trace_id(), span_id(), round(time.time(), 3)
    front = document(
        trace, name=f"{prefix}-front", start_time=now - 4, end_time=now - 2, annotations={"color": color},
        subsegments=[
            {"id": call, "name": f"{prefix}-remote", "namespace": "remote", "start_time": now - 3.5, "end_time": now - 2.5,
             "fault": fault},
            {"id": span_id(), "name": "DynamoDB", "namespace": "aws", "start_time": now - 3.75, "end_time": now - 3.5,
             "error": True, "throttle": True, "aws": {"operation": "GetItem", "table_name": f"{prefix}-table", "region": "eu-west-1"}},
        ],
    )
    back = document(trace, name=f"{prefix}-back", parent_id=call, start_time=now - 3.25, end_time=now - 2.75, fault=fault)
    equal(put(front, back), [], "refusals")
    return trace, now


def graph(**more):
    """The nodes of the service graph of the last hour, by name and type, of all pages."""
    now = time.time()
    services, old = [], None
    for page in xray.get_paginator("get_service_graph").paginate(**window(now - 3600, now + 3600, **more)):
        services += page["Services"]
        old = page["ContainsOldGroupVersions"]
    equal([s["ReferenceId"] for s in services], list(range(len(services))), "ReferenceIds")
    return {(s["Name"], s.get("Type")): s for s in services}, old


def settled(done):
    """Waits until done() does not raise: what counts, counts within seconds."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return done()
        except (AssertionError, KeyError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def counts(statistics):
    return (
        statistics["OkCount"], statistics["ErrorStatistics"]["OtherCount"],
        statistics["ErrorStatistics"]["ThrottleCount"], statistics["FaultStatistics"]["TotalCount"], statistics["TotalCount"],
    )


def edges(nodes, node):
    """The edges of a node, by the name and type of where they lead."""
    by_id = {s["ReferenceId"]: key for key, s in nodes.items()}
    return {by_id[edge["ReferenceId"]]: edge for edge in nodes[node]["Edges"]}


@check_asking
def service_graph():
    for i in range(5):
        outing("map", fault=i == 0)

    def counted():
        nodes, old = graph()
        equal(counts(nodes["map-front", None]["SummaryStatistics"]), (5, 0, 0, 0, 5), "front")
        equal(counts(nodes["map-back", None]["SummaryStatistics"]), (4, 0, 0, 1, 5), "back")
        return nodes, old

    nodes, old = settled(counted)
    equal(old, False, "ContainsOldGroupVersions")
    table = ("map-table", "AWS::DynamoDB::Table")
    equal(counts(nodes[table]["SummaryStatistics"]), (0, 0, 5, 0, 5), "table")
    equal({key: nodes[key]["State"] for key in nodes if key[0].startswith("map-")},
          {("map-front", None): "active", ("map-front", "client"): "unknown", ("map-back", None): "active", table: "unknown"},
          "states")
    equal(nodes["map-front", None].get("Root"), True, "Root")
    equal(nodes["map-back", None].get("Root"), None, "Root of the callee")
    equal(nodes["map-front", "client"].get("SummaryStatistics"), None, "numbers of the client")
    calls = edges(nodes, ("map-front", None))
    equal(set(calls), {("map-back", None), table}, "callees of the front")
    equal(set(edges(nodes, ("map-front", "client"))), {("map-front", None)}, "callees of the client")
    equal(edges(nodes, ("map-back", None)), {}, "callees of the back")
    back = calls["map-back", None]
    equal(counts(back["SummaryStatistics"]), (4, 0, 0, 1, 5), "edge")
    equal(back["Aliases"], [{"Name": "map-remote", "Names": ["map-remote"], "Type": "remote"}], "Aliases")
    equal(back["ResponseTimeHistogram"], [{"Value": 1.0, "Count": 5}], "histogram of the caller")
    equal(nodes["map-back", None]["ResponseTimeHistogram"], [{"Value": 0.5, "Count": 5}], "histogram of the callee")
    equal(nodes["map-back", None]["DurationHistogram"], [{"Value": 0.5, "Count": 5}], "durations of the callee")
    if not isinstance(back["StartTime"], datetime.datetime) or back["EndTime"] <= back["StartTime"]:
        raise AssertionError(f"times of the edge: {back['StartTime']} {back['EndTime']}")
    kind = xray.exceptions.InvalidRequestException
    refused(lambda: graph(GroupName="nobody"), "InvalidRequestException", "Group not found.", kind)
    now = time.time()
    refused(lambda: xray.get_service_graph(**window(now, now - 1)), "InvalidRequestException",
            "End time cannot be earlier than start time", kind)


@check_asking
def trace_graph():
    trace, now = outing("one", fault=True)
    pages = list(xray.get_paginator("get_trace_graph").paginate(TraceIds=[trace]))
    nodes = {(s["Name"], s.get("Type")): s for page in pages for s in page["Services"]}
    table = ("one-table", "AWS::DynamoDB::Table")
    equal(set(nodes), {("one-front", None), ("one-front", "client"), ("one-back", None), table}, "nodes")
    equal(set(edges(nodes, ("one-front", None))), {("one-back", None), table}, "callees")
    equal(counts(nodes["one-back", None]["SummaryStatistics"]), (0, 0, 0, 1, 1), "back")
    kind = xray.exceptions.InvalidRequestException
    refused(lambda: xray.get_trace_graph(TraceIds=[trace_id()]), "InvalidRequestException", "Trace id not found", kind)
    refused(lambda: xray.get_trace_graph(TraceIds=["rubbish"]), "InvalidRequestException",
            "Invalid traceId. ErrorCode: InvalidId", kind)
    refused(lambda: xray.get_trace_graph(TraceIds=[]), "InvalidRequestException", "Zero trace ids provided", kind)


@check_asking
def time_series():
    for i in range(3):
        outing("tide", fault=i == 0)
    now = time.time()

    def ask(selector=None, period=60, **more):
        question = window(now - 600, now + 600, Period=period, **more)
        if selector:
            question["EntitySelectorExpression"] = selector
        return [point for page in xray.get_paginator("get_time_series_service_statistics").paginate(**question)
                for point in page["TimeSeriesServiceStatistics"]]

    def total(points, key):
        for point in points:
            if (point["Timestamp"].timestamp() % 60) != 0:
                raise AssertionError(f"Timestamp {point['Timestamp']}")
        equal([p["Timestamp"] for p in points], sorted((p["Timestamp"] for p in points), reverse=True), "order")
        found = [p[key] for p in points if p.get(key)]
        return tuple(sum(counts(statistics)[i] for statistics in found) for i in range(5))

    for period in (60, 300):
        settled(lambda: equal(total(ask('service("tide-back")', period), "ServiceSummaryStatistics"), (2, 0, 0, 1, 3), "node"))
        equal(total(ask('service(id(name: "tide-table", type: "AWS::DynamoDB::Table"))', period), "ServiceSummaryStatistics"),
              (0, 0, 3, 0, 3), "table")
        equal(total(ask('edge("tide-front", "tide-back")', period), "EdgeSummaryStatistics"), (2, 0, 0, 1, 3), "edge")
    points = [p for p in ask('edge("tide-front", "tide-back")') if p.get("EdgeSummaryStatistics")]
    equal(sum(entry["Count"] for p in points for entry in p["ResponseTimeHistogram"]), 3, "histogram")
    equal({entry["Value"] for p in points for entry in p["ResponseTimeHistogram"]}, {1.0}, "histogram")
    equal(total(ask('service("nobody")'), "ServiceSummaryStatistics"), (0, 0, 0, 0, 0), "nobody")
    if total(ask(), "EdgeSummaryStatistics")[4] < 3:
        raise AssertionError(f"calls of clients: {ask()}")
    kind = xray.exceptions.InvalidRequestException
    for selector, message in (
        ('id(name: "x")', "Error Location: line 1, position 1 : Invalid input symbol: 'id'"),
        ("service()", "Error Location: line 1, position 9 : Invalid input symbol: ')'"),
        ("edge()", "Error Location: line 1, position 6 : Invalid input symbol: ')'"),
    ):
        refused(lambda selector=selector: ask(selector), "InvalidRequestException", message, kind)
    refused(lambda: ask(period=61), "InvalidRequestException", "Time period must be one of [60, 300]", kind)


@check_asking
def groups():
    kind = xray.exceptions.InvalidRequestException
    made = xray.create_group(GroupName="club", FilterExpression='annotation.color = "red"')["Group"]
    equal(made["GroupName"], "club", "GroupName")
    equal(made["FilterExpression"], 'annotation.color = "red"', "FilterExpression")
    equal(made["InsightsConfiguration"], {"InsightsEnabled": False, "NotificationsEnabled": False}, "InsightsConfiguration")
    if ":group/club/" not in made["GroupARN"]:
        raise AssertionError(made["GroupARN"])
    for question in ({"GroupName": "club"}, {"GroupARN": made["GroupARN"]}):
        equal(xray.get_group(**question)["Group"], made, "the group")
    listed = [g for page in xray.get_paginator("get_groups").paginate() for g in page["Groups"]]
    equal([g["GroupName"] for g in listed], ["Default", "club"], "groups")

    red, _ = outing("club", "red")
    blue, _ = outing("club", "blue")
    front = ("club-front", None)

    def members(n, versions):
        nodes, older = graph(GroupName="club")
        equal(counts(nodes[front]["SummaryStatistics"]), (n, 0, 0, 0, n), "members")
        equal(older, versions, "ContainsOldGroupVersions")

    settled(lambda: members(1, False))
    now = time.time()

    def named(**more):
        return ids_of(**window(now - 60, now + 60, FilterExpression='group.name = "club"', **more))[0] & {red, blue}

    equal(named(), {red}, "traces of the group")

    changed = xray.update_group(GroupARN=made["GroupARN"], FilterExpression='annotation.color = "blue"')["Group"]
    equal(changed["GroupARN"], made["GroupARN"], "GroupARN")
    equal(xray.get_group(GroupName="club")["Group"], changed, "the changed group")
    # Membership is that of the time of receipt; a filter asks the group of today.
    settled(lambda: members(1, True))
    equal(named(), {blue}, "traces of the changed group")
    outing("club", "blue")
    outing("club", "red")
    settled(lambda: members(2, True))
    nodes, _ = graph(GroupARN=made["GroupARN"])
    equal(counts(nodes[front]["SummaryStatistics"])[4], 2, "members by ARN")
    settled(lambda: equal(counts(graph()[0][front]["SummaryStatistics"])[4], 4, "of all"))

    for call, message in (
        (lambda: xray.get_group(GroupName="nobody"), "Group not found"),
        (lambda: xray.get_group(), "Provide either GroupName or GroupARN"),
        (lambda: xray.get_group(GroupName="club", GroupARN=made["GroupARN"]), "Provide either GroupName or GroupARN"),
        (lambda: xray.update_group(GroupName="club"), "Filter Expression is empty"),
        (lambda: xray.update_group(GroupName="nobody", FilterExpression="ok"), "Group not found"),
        (lambda: xray.create_group(GroupName="club", FilterExpression="ok"), "club already exists"),
        (lambda: xray.create_group(GroupName="empty"), "Filter Expression is empty"),
        (lambda: xray.create_group(GroupName="odd", FilterExpression="fault AND (madeup = 7)"),
         "Error Location: line 1, position 12 : Invalid input symbol: 'ma'"),
        (lambda: xray.get_groups(NextToken="foreign"), "Next Token not supported"),
        (lambda: xray.delete_group(GroupName="nobody"), "Group not found"),
    ):
        refused(call, "InvalidRequestException", message, kind)

    xray.delete_group(GroupName="club")
    refused(lambda: xray.get_group(GroupARN=made["GroupARN"]), "InvalidRequestException", "Group not found", kind)
    refused(lambda: graph(GroupName="club"), "InvalidRequestException", "Group not found.", kind)
    equal([g["GroupName"] for g in xray.get_groups()["Groups"]], ["Default"], "groups in the end")


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
