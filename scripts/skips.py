"""Lists the skipped tests of `go test -json` on standard input, each with its reason."""

import collections
import json
import sys

said = collections.defaultdict(list)
for line in sys.stdin:
    try:
        event = json.loads(line)
    except ValueError:
        continue
    test = event.get("Test")
    if not test:
        continue
    key = (event.get("Package", ""), test)
    if event["Action"] == "output":
        text = event["Output"].strip()
        if text and not text.startswith(("=== ", "--- ")):
            said[key].append(text)
    elif event["Action"] == "skip":
        reason = said[key][-1] if said[key] else "no reason given"
        print(f"  {key[0]} {test}: {reason}")
    else:
        continue
