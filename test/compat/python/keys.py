"""Signs calls with boto3, well and badly.

    keys.py ENDPOINT KEYS CA

KEYS is a JSON object of "admin", "reader", "writer", "expired" and "revoked", each
with "access_key_id" and "secret_access_key". CA is a file with the certificate to
trust, or "".
Prints a line of JSON for each check: {"check": "...", "error": null or text}.
"""

import datetime
import json
import secrets
import ssl
import sys
import time
import traceback
import urllib.error
import urllib.request
from unittest import mock

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions

ENDPOINT, KEYS, CA = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def client(key, region="eu-west-1", token=None, secret=None):
    return boto3.client(
        "xray",
        endpoint_url=ENDPOINT,
        region_name=region,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=secret or key["secret_access_key"],
        aws_session_token=token,
        verify=CA or None,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


def refused(call, code, message, status=403):
    try:
        call()
    except botocore.exceptions.ClientError as err:
        got = (
            err.response["Error"]["Code"],
            err.response["ResponseMetadata"]["HTTPStatusCode"],
            err.response["Error"]["Message"][: len(message)],
        )
        if got != (code, status, message):
            raise AssertionError(f"{got}, want {(code, status, message)}: {err.response}") from err
        if not err.response["ResponseMetadata"].get("RequestId"):
            raise AssertionError("no request id") from err
        return
    raise AssertionError(f"the call succeeded; wanted {code}")


def document():
    now = time.time()
    trace = "1-%08x-%s" % (int(now), secrets.token_hex(12))
    text = {"trace_id": trace, "id": secrets.token_hex(8), "name": "vault", "start_time": now - 1, "end_time": now}
    return trace, json.dumps(text)


@check
def good_keys():
    trace, doc = document()
    client(KEYS["writer"]).put_trace_segments(TraceSegmentDocuments=[doc])
    traces = client(KEYS["reader"]).batch_get_traces(TraceIds=[trace])["Traces"]
    assert [t["Id"] for t in traces] == [trace], traces
    group = client(KEYS["admin"]).create_group(GroupName="vault", FilterExpression='service("vault")')
    assert group["Group"]["GroupName"] == "vault", group
    # A large body, and another region.
    docs = [document()[1] for _ in range(500)]
    client(KEYS["writer"], region="ap-southeast-2").put_trace_segments(TraceSegmentDocuments=docs)


@check
def session_tokens_mean_nothing():
    client(KEYS["reader"], token="a token of something else").get_groups()


@check
def bad_keys():
    reader = KEYS["reader"]
    refused(client(reader, secret="x" * 40).get_groups, "InvalidSignatureException", MISMATCH)
    stranger = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "x" * 40}
    invalid = "The security token included in the request is invalid."
    refused(client(stranger).get_groups, "UnrecognizedClientException", invalid)
    refused(client(KEYS["revoked"]).get_groups, "UnrecognizedClientException", invalid)
    expired = "The security token included in the request is expired"
    refused(client(KEYS["expired"]).get_groups, "ExpiredTokenException", expired)


@check
def unsigned():
    xray = boto3.client(
        "xray",
        endpoint_url=ENDPOINT,
        region_name="eu-west-1",
        verify=CA or None,
        config=botocore.config.Config(signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}),
    )
    refused(xray.get_groups, "MissingAuthenticationTokenException", "Missing Authentication Token")
    refused(xray.get_sampling_rules, "MissingAuthenticationTokenException", "Missing Authentication Token")


@check
def roles():
    denied = "User: arn:aws:iam::000000000000:user/%s is not authorized to perform: xray:%s because"
    _, doc = document()
    refused(
        lambda: client(KEYS["reader"]).put_trace_segments(TraceSegmentDocuments=[doc]),
        "AccessDeniedException",
        denied % ("reader", "PutTraceSegments"),
    )
    refused(client(KEYS["writer"]).get_groups, "AccessDeniedException", denied % ("writer", "GetGroups"))
    refused(
        lambda: client(KEYS["reader"]).delete_group(GroupName="vault"),
        "AccessDeniedException",
        denied % ("reader", "DeleteGroup"),
    )
    client(KEYS["reader"]).get_sampling_rules()
    client(KEYS["writer"]).get_sampling_rules()


@check
def clocks():
    for minutes, text in ((-6, "Signature expired: "), (6, "Signature not yet current: ")):
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
        with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: now):
            refused(client(KEYS["reader"]).get_groups, "InvalidSignatureException", text)
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=4)
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: now):
        client(KEYS["reader"]).get_groups()


@check
def tampered():
    xray = client(KEYS["reader"])

    def tamper(request, **_):
        request.body = request.body + b" "
        request.headers["Content-Length"] = str(len(request.body))

    xray.meta.events.register("before-send.xray.*", tamper)
    refused(xray.get_groups, "InvalidSignatureException", MISMATCH)


def presigned(key, seconds=60):
    # botocore moves a body into the query before it signs, so these have none.
    request = botocore.awsrequest.AWSRequest("POST", ENDPOINT + "/Groups")
    credentials = botocore.credentials.Credentials(key["access_key_id"], key["secret_access_key"])
    botocore.auth.SigV4QueryAuth(credentials, "xray", "eu-west-1", expires=seconds).add_auth(request)
    return request.prepare().url


def fetch(url, body=b""):
    context = ssl.create_default_context(cafile=CA) if CA else None
    request = urllib.request.Request(url, data=body, method="POST")
    request.add_unredirected_header("Content-type", "application/json")
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as err:
        with err:
            return err.code, json.load(err)


@check
def presigned_urls():
    status, answer = fetch(presigned(KEYS["reader"]))
    assert status == 200 and answer["Groups"], (status, answer)
    for url in (presigned(KEYS["revoked"]), presigned(KEYS["reader"]).replace("Signature=", "Signature=0")):
        status, answer = fetch(url)
        assert status == 403, (status, answer)
    status, answer = fetch(presigned(KEYS["reader"]), body=b"{}")
    assert (status, answer) == (403, {"message": MISMATCH}), (status, answer)
    url = presigned(KEYS["reader"], seconds=1)
    time.sleep(2.5)
    status, answer = fetch(url)
    assert status == 403 and answer["message"].startswith("Signature expired: "), (status, answer)


def main():
    for function in CHECKS:
        error = None
        try:
            function()
        except Exception:  # every failure is reported, the other checks go on
            error = traceback.format_exc()
        print(json.dumps({"check": function.__name__, "error": error}), flush=True)


main()
