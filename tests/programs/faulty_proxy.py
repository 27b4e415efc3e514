"""An HTTP proxy that does to requests what networks and overloaded servers do to them.

    python tests/programs/faulty_proxy.py --upstream http://127.0.0.1:5000 --port 5001 \\
        --seed 1 --start 10 --share 0.3

stands between a client and a tracking server. Each request from number `--start` on gets, with the
probability `--share`, one of the faults of `FAULTS`, chosen by a generator with the seed `--seed`.
Which request meets which fault also depends on the order in which requests arrive.

`GET /__faults__` answers with what was done so far; `POST /__faults__` with a JSON object of
`seed`, `start`, `share` and `kinds` begins again with them: `{"share": 0}` makes it a good proxy.
"""

import argparse
import http.client
import json
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CONTROL = "/__faults__"
FAULTS = {
    "drop_before": "the connection is reset, the server receives nothing",
    "drop_after": "the server does its work, then the connection is reset",
    "delay": "the request arrives late",
    "duplicate": "the request arrives twice, one after the other",
    "500": "Internal Server Error, the server receives nothing",
    "502": "Bad Gateway, the server receives nothing",
    "503": "Service Unavailable, the server receives nothing",
    "502_after": "the server does its work, the answer is Bad Gateway",
    "413": "Content Too Large",
    "403": "Forbidden",
    "429": "Too Many Requests",
    "retry_after": "Service Unavailable with `Retry-After: 600`",
    "cut_off": "the server does its work, the connection ends in the middle of its answer",
    "truncated": "the server does its work, its answer is shortened, perhaps to nothing",
    "hang": "no answer for a few seconds, then the connection is reset",
}
_REASONS = {"500": "Internal Server Error", "502": "Bad Gateway", "503": "Service Unavailable"}
_REASONS |= {"413": "Content Too Large", "403": "Forbidden", "429": "Too Many Requests"}
REFUSALS = ("413", "403")
LOGGING = ("log-batch", "log-inputs", "set-tag", "mlflow-artifacts", "logged-models", "outputs")
"""What may be refused. A client whose run is refused as a whole rightly does not start."""
_NOT_FORWARDED = ("connection", "transfer-encoding", "keep-alive", "content-length", "server")
_NOT_FORWARDED += ("date",)


class FaultPlan:
    """Which fault the next request meets. Thread-safe.

    Args:
        seed: of the random generator.
        start: how many requests pass before the first fault.
        share: the probability of a fault for each request after those.
        kinds: the faults to choose from; by default all.
        delay_seconds: the longest delay.
        hang_seconds: how long a request hangs.
    """

    def __init__(self, seed=0, start=0, share=0.0, kinds=(), delay_seconds=0.5, hang_seconds=3.0):
        unknown = set(kinds) - set(FAULTS)
        if unknown:
            raise ValueError(f"kinds: received {sorted(unknown)}, expected some of {[*FAULTS]}")
        self.start = start
        self.share = share
        self.kinds = list(kinds) or list(FAULTS)
        self.delay_seconds = delay_seconds
        self.hang_seconds = hang_seconds
        self.counts = Counter()
        self.num_requests = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def next_fault(self, is_refusable):
        """Returns the fault of the next request, or `None`, and a random number in [0, 1).

        Args:
            is_refusable: the request may be refused for what it holds.
        """
        with self._lock:
            self.num_requests += 1
            is_faulty = self._random.random() < self.share
            kind = self._random.choice(self.kinds)
            size = self._random.random()
            if kind in REFUSALS and not is_refusable:
                kind = "503"
            if not is_faulty or self.num_requests <= self.start:
                return None, size
            self.counts[kind] += 1
            return kind, size

    def summary(self):
        """Returns what was done so far."""
        with self._lock:
            return {"requests": self.num_requests, "faults": dict(sorted(self.counts.items()))}


class Handler(BaseHTTPRequestHandler):
    """Forwards one request, or does something worse."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def handle_one_request(self):
        """Ends the connection, without a traceback, when the client does."""
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_any(self):
        """Answers one request."""
        body = self._body()
        if self.path == CONTROL:
            self._control(body)
            return
        plan = self.server.plan
        is_refusable = any(sign in self.path for sign in LOGGING)
        kind, size = plan.next_fault(is_refusable)
        if kind == "drop_before":
            self._reset()
        elif kind == "hang":
            time.sleep(plan.hang_seconds)
            self._reset()
        elif kind in _REASONS:
            self._answer(int(kind), [], f"{_REASONS[kind]}\n".encode())
        elif kind == "retry_after":
            self._answer(503, [("Retry-After", "600")], b"Service Unavailable\n")
        else:
            self._forwarded(kind, size, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_any

    def _forwarded(self, kind, size, body):
        if kind == "delay":
            time.sleep(size * self.server.plan.delay_seconds)
        if kind == "duplicate":
            self._ask(body)
        try:
            status, headers, answer = self._ask(body)
        except OSError:
            self._answer(502, [], b"Bad Gateway: the server is unavailable\n")
            return
        short = answer[: int(size * len(answer))]
        if kind == "drop_after":
            self._reset()
        elif kind == "502_after":
            self._answer(502, [], b"Bad Gateway\n")
        elif kind == "truncated":
            self._answer(status, headers, short)
        elif kind == "cut_off":
            self._answer(status, headers, short, length=len(answer) + 1)
            self.close_connection = True
        else:
            self._answer(status, headers, answer)

    def _body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _ask(self, body):
        """Forwards the request; returns status, headers and body of the server's answer."""
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        kept = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_FORWARDED}
        if body or self.command in ("POST", "PUT", "PATCH"):
            kept["Content-Length"] = str(len(body))
        try:
            connection.request(self.command, self.path, body=body or None, headers=kept)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status, headers, body, length=None):
        self.send_response(status)
        for key, value in headers:
            if key.lower() not in _NOT_FORWARDED:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self):
        """Closes the connection by a reset, as a host that crashed does."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _control(self, body):
        if self.command == "POST":
            self.server.plan = FaultPlan(**json.loads(body))
        answer = json.dumps(self.server.plan.summary()).encode()
        self._answer(200, [("Content-Type", "application/json")], answer)

    def log_message(self, format, *args):
        """Keeps the requests off the screen."""


class Proxy(ThreadingHTTPServer):
    """The listening side of the proxy.

    Args:
        upstream: address of the server, such as `http://127.0.0.1:5000`.
        port: where to listen on the loopback address; 0 for any free port.
        plan: the faults to begin with.
    """

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, upstream, port, plan):
        super().__init__(("127.0.0.1", port), Handler)
        self.upstream = urlsplit(upstream).netloc
        self.plan = plan

    def handle_error(self, request, client_address):
        """Says what went wrong in the proxy itself, in one line."""
        print(f"faulty_proxy: {sys.exc_info()[1]!r}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--kinds", default="", help="comma-separated; by default all")
    asked = parser.parse_args()
    kinds = [kind for kind in asked.kinds.split(",") if kind]
    proxy = Proxy(
        asked.upstream, asked.port, FaultPlan(asked.seed, asked.start, asked.share, kinds)
    )
    print(f"http://127.0.0.1:{proxy.server_port}", flush=True)
    try:
        proxy.serve_forever()
    except KeyboardInterrupt:
        print(json.dumps(proxy.plan.summary()))


if __name__ == "__main__":
    main()
