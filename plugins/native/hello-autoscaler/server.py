"""A counter that reports itself by the worker protocol of Vast.ai, first generation.

The runtime starts it with PORT, CONTAINER_ID, MASTER_TOKEN and REPORT_ADDR. Started by hand with
--join it is an external worker. Routes, messages, their times and the figures are those of the
example `helloautoscaler` of vast-ai/vast-pyworker at 42cc75e; the code is ours.
"""

import argparse
import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from json_server import Refused, say, start, wait_for_signal

STARTED = time.monotonic()
# What the example claims to manage, in requests per second.
MAX_PERF = 0.5
REPORT_S = 10.0
# Each message is tried this often.
ATTEMPTS = 3
ATTEMPT_S = 1.0
PAUSE_S = 2.0
# The address is meant as it is given, whatever proxy the environment names.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Counter:
    """The model, so to speak."""

    def __init__(self):
        self.value = 0
        self.turn = threading.Lock()

    def increment(self, request):
        amount = request.get("amount")
        if not isinstance(amount, int) or isinstance(amount, bool):
            raise Refused(400, "amount must be a whole number")
        with self.turn:
            self.value += amount
            return 200, {"value": self.value}

    def read(self):
        return 200, {"value": self.value}


class Load:
    """How many requests came. All with a route count but those for health, also refused ones."""

    def __init__(self):
        self.total = 0
        self.reported = 0
        self.turn = threading.Lock()

    def arrived(self, path):
        if path != "/health":
            with self.turn:
                self.total += 1

    def update(self):
        """The message about the time since the last one."""
        with self.turn:
            load = (self.total - self.reported) / REPORT_S
            self.reported = self.total
            return {"cur_load": load, "num_requests_recieved": self.total}


class Reporter:
    """Says to the control server that this worker is there, and what it has to do."""

    def __init__(self, address, identity, load):
        self.url = address.rstrip("/") + "/worker_status/"
        self.identity = identity
        self.load = load
        # There is nothing to load, so this is how long Python took to start.
        self.loaded = {"loadtime": time.monotonic() - STARTED, "max_perf": MAX_PERF}
        self.stop = threading.Event()

    def run(self):
        is_known = False
        while not self.stop.is_set():
            # Loaded comes first, and again when the control server may have forgotten this worker.
            if not is_known:
                is_known = self.send(self.loaded)
            if self.stop.wait(REPORT_S):
                return
            is_known = is_known and self.send(self.load.update())

    def send(self, message):
        """Whether the message was taken."""
        body = json.dumps({**self.identity, **message}).encode()
        headers = {"Content-Type": "application/json"}
        for attempt in range(1, ATTEMPTS + 1):
            request = urllib.request.Request(self.url, body, headers)
            try:
                with DIRECT.open(request, timeout=ATTEMPT_S):
                    return True
            except urllib.error.HTTPError as error:
                said = error.read(300).decode(errors="replace").strip()
                say(f"report refused with {error.code}: {said}")
            except OSError as error:
                say(f"report not delivered, attempt {attempt}: {error}")
            if attempt < ATTEMPTS and self.stop.wait(PAUSE_S):
                break
        return False


def arguments():
    env = os.environ
    parser = argparse.ArgumentParser(description="A counter that reports itself to an autoscaler.")
    parser.add_argument("--join", metavar="URL", help="report address of the deployment to join")
    parser.add_argument("--token", help="what to prove oneself with (or MASTER_TOKEN)")
    parser.add_argument("--id", help="name of this worker (or CONTAINER_ID; default: made up)")
    parser.add_argument("--host", help="address to listen on (or HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (or PORT; 0: any free one)")
    parser.add_argument("--url", help="http://host:port where others reach this worker")
    parser.add_argument("--label", help="not used; to recognise the process by")
    args = parser.parse_args()
    args.token = args.token or env.get("MASTER_TOKEN")
    args.id = args.id or env.get("CONTAINER_ID")
    args.is_external = args.join is not None
    args.join = args.join or env.get("REPORT_ADDR")
    if args.port is None:
        port = env.get("PORT") or env.get("AUTH_PORT") or "8000"
        if not port.isdigit():
            parser.error(f"the port `{port}` is no number")
        args.port = int(port)
    if args.join and not args.token:
        parser.error("to report, a token is needed: --token or MASTER_TOKEN")
    return args


def identity(args, port):
    """What every message says about this worker."""
    identity = {"id": args.id or f"{socket.gethostname()}-{port}", "mtoken": args.token}
    if args.is_external:
        # Not in the original, whose control server rented the machine and knows its address.
        identity["port"] = port
    if args.url:
        identity["url"] = args.url
    return identity


def main():
    args = arguments()
    counter, load = Counter(), Load()
    routes = {
        ("POST", "/increment"): counter.increment,
        ("GET", "/value"): counter.read,
        ("GET", "/health"): lambda: (200, {"status": "ok"}),
    }
    server = start(routes, args.host, args.port, load.arrived)
    reporter = None
    if args.join:
        port = server.server_address[1]
        reporter = Reporter(args.join, identity(args, port), load)
        threading.Thread(target=reporter.run, daemon=True).start()
    else:
        say("REPORT_ADDR is not set, so nothing is reported")
    wait_for_signal()
    if reporter:
        reporter.stop.set()
        if args.is_external:
            # Ours are stopped by the control server itself; this one takes itself away.
            reporter.send({"error_msg": "the worker was told to stop"})
    server.finish()


if __name__ == "__main__":
    main()
