"""A small JSON server of the standard library, for the examples in this folder.

PORT (and HOST), or SOCKET, say where to listen. SIGTERM stops accepting and lets the requests that
are there finish. What it says goes to the standard error.
"""

import json
import os
import signal
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 1024 * 1024
# How long a client may take to send a request, or keep an idle connection.
SILENCE_S_MAX = 60
# How often the server looks whether it shall stop.
POLL_S = 0.05


class Refused(Exception):
    """A request that cannot be carried out: an HTTP status and a sentence."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def say(text):
    print(text, file=sys.stderr, flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_S_MAX
    # An answer is written at once, not head and body in two packets.
    wbufsize = -1
    disable_nagle_algorithm = True
    # A connection is made for a request, so it counts before the first one is read.
    is_busy = True

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True  # The client has gone.
        finally:
            if self.is_busy:
                self.is_busy = False
                self.server.count(-1)

    def parse_request(self):
        if not self.is_busy:
            self.is_busy = True
            self.server.count(1)
        return super().parse_request()

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        try:
            status, content = self.act()
        except Refused as refused:
            status, content = refused.status, {"error": str(refused)}
        except OSError:
            raise
        except Exception as error:
            say(f"{self.command} {self.path} failed: {error!r}")
            status, content = 500, {"error": "the server failed; its log says why"}
        body = (json.dumps(content) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", "1")
        if self.server.is_stopping or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def act(self):
        routes, path = self.server.routes, self.path.split("?")[0]
        act = routes.get((self.command, path))
        if act:
            self.server.arrived(path)
        body = self.read_body()
        if not act:
            methods = [method for method, known in routes if known == path]
            if methods:
                raise Refused(405, f"{path} wants {methods[0]}")
            raise Refused(404, "there is " + ", ".join(f"{m} {p}" for m, p in sorted(routes)))
        if self.command == "GET":
            return act()
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"the body is no JSON: {error}")
        if not isinstance(request, dict):
            raise Refused(422, "the body is no JSON object")
        return act(request)

    def read_body(self):
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Refused(411, "send a Content-Length; chunked bodies are not read here")
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 18:
            self.close_connection = True
            raise Refused(400, "Content-Length is no number")
        if int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            raise Refused(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
        return self.rfile.read(int(length))

    def log_message(self, format, *arguments):
        """One line per request is the runtime's business."""


class SocketHandler(Handler):
    disable_nagle_algorithm = False  # A Unix socket has none.


class Graceful:
    """What a threading server needs to end well."""

    # Idle connections do not hold up the end; what is busy is waited for.
    daemon_threads = True
    request_queue_size = 128
    # With this, `handle_request` takes what is waiting and does not wait itself.
    timeout = 0

    def prepare(self, routes, arrived):
        self.routes, self.arrived = routes, arrived
        self.is_stopping = False
        self.busy = 0
        self.changed = threading.Condition()
        return self

    def count(self, change):
        with self.changed:
            self.busy += change
            self.changed.notify_all()

    def process_request(self, request, client_address):
        self.count(1)
        super().process_request(request, client_address)

    def handle_timeout(self):
        self.is_empty = True

    def finish(self):
        """Ends what `serve_forever` does in another thread, and waits for what is there."""
        self.is_stopping, self.is_empty = True, False
        self.shutdown()
        while not self.is_empty:  # Connections that the system has accepted already.
            self.handle_request()
        self.server_close()
        with self.changed:
            say(f"stopping, {self.busy} connections are busy")
            self.changed.wait_for(lambda: self.busy == 0)


class PortServer(Graceful, ThreadingHTTPServer):
    pass


class SocketServer(Graceful, socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    pass


def start(routes, host=None, port=None, arrived=lambda path: None):
    """Serves in the background and answers the server, which `finish` ends.

    `routes` maps method and path to a function: of a GET without arguments, of a POST of the JSON
    object in the body. It answers a status and what to send as JSON, or raises `Refused`. `arrived`
    gets the path of every request that has a route, before its body is read.
    """
    path = os.environ.get("SOCKET")
    if path and port is None:
        server, place = SocketServer(path, SocketHandler), path
    else:
        host = host or os.environ.get("HOST", "127.0.0.1")
        port = int(os.environ.get("PORT", "8000")) if port is None else port
        server = PortServer((host, port), Handler)
        place = f"http://{host}:{server.server_address[1]}"
    server.prepare(routes, arrived)
    threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True).start()
    say(f"listening on {place}")
    return server


def wait_for_signal():
    """Returns at SIGTERM or SIGINT. Only for the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
