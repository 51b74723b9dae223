"""One end of a trace whose middle is instrumented otherwise, with the X-Ray SDK.

    python mixed.py front               a service that calls another; prints the header that it sends
    python mixed.py back HEADER         a service that was called with that header
"""

import sys

from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.core.models.trace_header import TraceHeader


def main(end, header=""):
    xray_recorder.configure(sampling=False, service=end, context_missing="RUNTIME_ERROR")
    if end == "front":
        segment = xray_recorder.begin_segment("front")
        sub = xray_recorder.begin_subsegment("orders", namespace="remote")
        print(TraceHeader(root=segment.trace_id, parent=sub.id, sampled=1).to_header_str())
        xray_recorder.end_subsegment()
    else:
        h = TraceHeader.from_header_str(header)
        xray_recorder.begin_segment("stock", traceid=h.root, parent_id=h.parent, sampling=1)
    xray_recorder.end_segment()


main(*sys.argv[1:])
