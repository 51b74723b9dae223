"""Lists the skipped tests of `go test -json` on standard input, each with its reason.

Subtests that were skipped for one reason are counted together.
"""

import collections
import json
import sys

said = collections.defaultdict(list)
skipped = collections.Counter()
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
        skipped[key[0], test.split("/")[0], reason] += 1

for (package, test, reason), n in skipped.items():
    times = f" ({n} times)" if n > 1 else ""
    print(f"  {package} {test}{times}: {reason}")
