"""Runs commands of the AWS CLI in one process: starting it takes seconds each time.

    cli.py

Reads lines of JSON, each a list of arguments of aws, and answers each with a line
{"status": exit status, "output": what it printed, errors included}.
"""

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver

answers = sys.stdout
driver = create_clidriver()
for line in sys.stdin:
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = driver.main(json.loads(line))
        except SystemExit as end:
            status = end.code
    print(json.dumps({"status": status, "output": output.buffer.getvalue().decode()}), file=answers, flush=True)
