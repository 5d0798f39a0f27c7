"""A hook for the tests: appends what it was given to a file, then does what its options say.

usage: record_hook.py LOG [OPTION]...
  fail             exits 1
  fail-while FILE  exits 1 as long as FILE exists; with "for KEY" before it only for that node
  sleep SECONDS    first sleeps
  ignore-term      first ignores SIGTERM
  hang             starts a child and never ends, nor does the child
"""

import json
import os
import signal
import subprocess
import sys
import time


def describe():
    return {
        "pid": os.getpid(),
        "at": time.time(),
        "cwd": os.getcwd(),
        "fds": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "env": dict(os.environ),
        "stdin": sys.stdin.read(),
        "argv": sys.argv[2:],
    }


def append(path, entry):
    line = (json.dumps(entry) + "\n").encode()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    assert os.write(file, line) == len(line)
    os.close(file)


def main():
    log, options = sys.argv[1], sys.argv[2:]
    entry = describe()
    append(log, entry)
    concerned = True
    while options:
        option = options.pop(0)
        if option == "for":
            concerned = options.pop(0) == os.environ["PATCHWATCH_NODE_KEY"]
        elif option == "fail-while":
            if os.path.exists(options.pop(0)) and concerned:
                sys.exit("told to fail")
        elif option == "fail":
            sys.exit("told to fail")
        elif option == "sleep":
            time.sleep(float(options.pop(0)))
        elif option == "ignore-term":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif option == "hang":
            # A child that must die too; its command line has the log's folder in it.
            subprocess.Popen([sys.executable, "-ISE", "-c", "import time; time.sleep(600)", log])
            time.sleep(600)


main()
