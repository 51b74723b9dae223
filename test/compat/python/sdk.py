"""A program as its users write them, instrumented with the AWS X-Ray SDK for Python.

It does one thing after the other, each a scenario with a trace of its own, and
prints a line of JSON for each: {"scenario": "nested", "trace_id": "1-..."}. The
SDK is unmodified and finds the daemon as it does everywhere:
AWS_XRAY_DAEMON_ADDRESS, else 127.0.0.1:2000.

    sdk.py SCENARIO...
    sdk.py sampling NAME...

The second form begins and ends segments with the names it is given, over and
over, until its standard input ends.

STUB names the server that answers its outgoing calls. SAMPLE_ALL=1 replaces the
SDK's sampling, one trace a second, by taking all.
"""

import json
import os
import socket
import sqlite3
import sys
import threading
import time

import boto3
import botocore.config
import botocore.exceptions
import flask
import requests
import werkzeug.serving
from aws_xray_sdk.core import patch, xray_recorder
from aws_xray_sdk.ext.flask.middleware import XRayMiddleware

STUB = os.environ.get("STUB", "")

# patch() runs before anything connects, as the SDK's users do it.
patch(["botocore", "requests", "sqlite3"])
if os.environ.get("SAMPLE_ALL") == "1":
    xray_recorder.configure(sampling=False)


def nested(segment):
    """Three levels of local work, the innermost beside a sibling."""
    segment.set_user("mara")
    with xray_recorder.in_subsegment("validate"):
        with xray_recorder.in_subsegment("load basket"):
            with xray_recorder.in_subsegment("price"):
                time.sleep(0.002)
            with xray_recorder.in_subsegment("discount"):
                pass


def values(segment):
    """An annotation of each type, and metadata of many shapes."""
    for key, value in {
        "tier": "gold",
        "empty": "",
        "items": 3,
        "negative": -7,
        "big": 9007199254740993,
        "total": 129.95,
        "tiny": 1e-9,
        "gift": True,
        "express": False,
        "word": "Größe ✓",
    }.items():
        segment.put_annotation(key, value)
    segment.put_metadata(
        "basket",
        {
            "lines": [{"sku": "A-1", "n": 2}, {"sku": "B-7", "n": 1}],
            "note": None,
            "quote": 'say "hi" <b>&',
            "tab": "a\tb\n",
        },
    )
    segment.put_metadata("steps", ["open", "pay", "ship"], "audit")
    with xray_recorder.in_subsegment("inner") as sub:
        sub.put_annotation("inner_only", "yes")


class StockError(Exception):
    """What the warehouse raises."""


def exception(segment):
    """An error that travels up through two subsegments and is answered by another."""

    @xray_recorder.capture("warehouse")
    def warehouse():
        raise StockError("out of stock: A-1")

    @xray_recorder.capture("reserve")
    def reserve():
        try:
            warehouse()
        except StockError as err:
            raise RuntimeError("order refused") from err

    try:
        reserve()
    except RuntimeError:
        pass


def flags(segment):
    """Each of the three flags, set by hand."""
    with xray_recorder.in_subsegment("error") as sub:
        sub.add_error_flag()
    with xray_recorder.in_subsegment("throttle") as sub:
        sub.add_throttle_flag()
    with xray_recorder.in_subsegment("fault") as sub:
        sub.add_fault_flag()
    with xray_recorder.in_subsegment("none"):
        pass


def http_client(segment):
    """Calls the stub for several statuses, and an address where nobody listens."""
    for status in (200, 404, 429, 500):
        requests.get(f"{STUB}/status/{status}?q=1", timeout=10)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % closed.getsockname()[1]
    try:
        requests.get(f"http://{address}/refused", timeout=10)
    except requests.ConnectionError:
        return
    raise AssertionError("a call to a closed port succeeded")


def http_server(segment):
    """Calls a Flask service of its own over a traced client: two services, one trace."""
    app = flask.Flask("stock")

    @app.get("/stock/<sku>")
    def stock(sku):
        if sku == "broken":
            return "broken", 503
        with xray_recorder.in_subsegment("count"):
            return {"sku": sku, "left": 4}

    # The middleware belongs to a recorder whose service is another one.
    XRayMiddleware(app, xray_recorder)
    before = xray_recorder.service
    xray_recorder.service = "stock"
    server = werkzeug.serving.make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for sku in ("A-1", "broken"):
            requests.get(f"http://127.0.0.1:{server.server_port}/stock/{sku}", timeout=10)
    finally:
        server.shutdown()
        thread.join()
        xray_recorder.service = before


def sql(segment):
    """A statement, a query and one that fails, through the patched sqlite3."""
    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE TABLE orders (id INTEGER, tier TEXT)")
        db.execute("SELECT count(*) FROM orders WHERE tier = ?", ("gold",))
        try:
            db.execute("SELECT * FROM nowhere")
        except sqlite3.OperationalError:
            pass
    finally:
        db.close()


def aws(segment):
    """The AWS SDK against the stub: a call that works and one that is throttled."""
    client = boto3.client(
        "dynamodb",
        region_name="eu-west-1",
        endpoint_url=STUB,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    client.get_item(TableName="orders", Key={"id": {"S": "1"}})
    try:
        client.get_item(TableName="busy", Key={"id": {"S": "1"}})
    except client.exceptions.ProvisionedThroughputExceededException:
        return
    raise AssertionError("the busy table answered")


def streaming(segment):
    """More subsegments than the SDK keeps: it sends some before their parents end."""
    with xray_recorder.in_subsegment("batch"):
        for i in range(45):
            with xray_recorder.in_subsegment("row %02d" % i) as sub:
                sub.put_annotation("row", i)


def in_progress(segment):
    """Sends a segment as it stands, in progress, before it goes on and ends."""
    with xray_recorder.in_subsegment("first step"):
        pass
    segment.put_annotation("state", "half way")
    xray_recorder.emitter.send_entity(segment)
    with xray_recorder.in_subsegment("second step"):
        pass
    segment.put_annotation("state", "done")


def lambda_():
    """What the SDK does inside AWS Lambda, where the platform owns the segment."""
    with xray_recorder.in_subsegment("handler") as sub:
        sub.put_annotation("cold", True)
        with xray_recorder.in_subsegment("inner"):
            pass
        return sub.trace_id


def ruled():
    """Waits until the SDK samples by the rules that it fetched from the server."""
    for _ in range(20):
        segment = xray_recorder.begin_segment("orders-ruled")
        rule = segment.sampled and segment.aws["xray"].get("sampling_rule_name")
        trace_id = segment.trace_id
        xray_recorder.end_segment()
        if rule:
            return trace_id
        time.sleep(0.5)
    sys.exit("sdk.py: ruled: the SDK took no trace for a rule of the server")


def sampling(names):
    """Begins and ends segments; the SDK decides which of them it sends."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        for name in names:
            xray_recorder.begin_segment(name)
            xray_recorder.end_segment()
        time.sleep(0.04)


SCENARIOS = {
    "nested": nested,
    "values": values,
    "exception": exception,
    "flags": flags,
    "http-client": http_client,
    "http-server": http_server,
    "sql": sql,
    "aws": aws,
    "streaming": streaming,
    "in-progress": in_progress,
}


def main(names):
    if names and names[0] == "sampling":
        sampling(names[1:])
    for name in names:
        if name == "lambda":
            trace_id = lambda_()
        elif name == "ruled":
            trace_id = ruled()
        else:
            segment = xray_recorder.begin_segment("orders-" + name)
            if not segment.sampled:
                sys.exit(f"sdk.py: {name}: the SDK chose not to sample")
            trace_id = segment.trace_id
            SCENARIOS[name](segment)
            xray_recorder.end_segment()
        print(json.dumps({"scenario": name, "trace_id": trace_id}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
