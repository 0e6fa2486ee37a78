"""Run a command: `python child_process.py COMMAND…` prints its seconds and peak memory (bytes, or null) as JSON.

In a process of its own, because Linux counts the memory of the process that starts another towards the peak of both.
"""

import json
import os
import subprocess
import sys
import time


def main() -> int:
    """The command's exit status."""
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    peak = None
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    else:
        process.wait()
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started, "peak": peak}))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
