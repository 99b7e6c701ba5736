"""A fleet hook: rents "machines" that are processes of this one. For trying out, and as a pattern.

The request comes in SAMOVAR_FLEET_* variables, the answer goes to the standard output as JSON. The
key of a request is in the command line of what it made. So a create that comes twice starts one
worker, and nothing has to be kept in a file.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

WORKER = Path(__file__).resolve().parent / "server.py"
# Exit code for a failure that may pass: EX_TEMPFAIL.
TRY_LATER = 75
# A worker that cannot even start does so within this time.
START_S = 0.5
END_S = 10.0


def asked(name):
    return os.environ.get(f"SAMOVAR_FLEET_{name}", "")


def running(deployment):
    """Key and process number of the deployment's workers."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # It has just ended.
        if str(WORKER) in words and "--label" in words:
            of, _, key = words[words.index("--label") + 1].partition("/")
            if of == deployment:
                found[key] = int(folder.name)
    return found


def create():
    key = asked("KEY")
    already = running(asked("DEPLOYMENT")).get(key)
    if already:
        return {"machine": already, "note": "was there already"}
    log = os.environ.get("HELLO_LOG", os.devnull)
    command = [sys.executable, str(WORKER), "--join", asked("REPORT_ADDR")]
    command += ["--id", asked("WORKER_ID"), "--host", "127.0.0.1", "--port", "0"]
    command += ["--label", f"{asked('DEPLOYMENT')}/{key}"]
    with open(log, "a") as output:
        # A session of its own: the worker stays when this program ends or is ended.
        worker = subprocess.Popen(
            command,
            env={**os.environ, "MASTER_TOKEN": asked("TOKEN")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        code = worker.wait(START_S)
    except subprocess.TimeoutExpired:
        return {"machine": worker.pid}
    print(f"the worker ended at once with exit code {code}", file=sys.stderr)
    sys.exit(TRY_LATER)


def destroy():
    deployment, key = asked("DEPLOYMENT"), asked("KEY")
    # By its key: a process number may be another's by now.
    worker = running(deployment).get(key)
    if not worker:
        return {"note": "was gone already"}
    os.kill(worker, signal.SIGTERM)
    deadline = time.monotonic() + END_S
    while running(deployment).get(key) == worker:
        if time.monotonic() > deadline:
            os.kill(worker, signal.SIGKILL)
            return {"note": "had to be killed"}
        time.sleep(0.05)
    return {}


def list_all():
    workers = running(asked("DEPLOYMENT"))
    return {"machines": [{"machine": workers[key], "key": key} for key in sorted(workers)]}


def main():
    actions = {"create": create, "destroy": destroy, "list": list_all}
    action = actions.get(asked("ACTION"))
    if not action:
        sys.exit(f"SAMOVAR_FLEET_ACTION is `{asked('ACTION')}` and not one of {', '.join(actions)}")
    print(json.dumps(action()))


if __name__ == "__main__":
    main()
