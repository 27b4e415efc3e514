"""A proxy before a real server, which does to chosen requests what networks and proxies do."""

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fault:
    """What happens to one request.

    Args:
        status: answered with it at once; the server receives nothing.
        is_lost: the server does its work, but the connection breaks before the answer.
        is_doubled: the server receives it twice.
        seconds: how late the answer comes.
        retry_after: the header of that name.
    """

    def __init__(
        self,
        *,
        status: int | None = None,
        is_lost: bool = False,
        is_doubled: bool = False,
        seconds: float = 0.0,
        retry_after: int | None = None,
    ) -> None:
        self.status, self.is_lost, self.is_doubled = status, is_lost, is_doubled
        self.seconds, self.retry_after = seconds, retry_after


class Proxy:
    """The proxy; `fault` decides on each request by method, path and body.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str, bytes], Fault | None] = lambda method, path, body: None
        self._lock = threading.Lock()
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._httpd.daemon_threads = True
        self.port = self._httpd.server_port
        threading.Thread(target=self._httpd.serve_forever, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def _any(self) -> None:
                body = self._body()
                with proxy._lock:
                    proxy.requests.append((self.command, self.path))
                    fault = proxy.fault(self.command, self.path, body) or Fault()
                time.sleep(fault.seconds)
                if fault.status is not None:
                    self._answer(fault.status, b"no", {"Retry-After": fault.retry_after})
                    return
                for _ in range(2 if fault.is_doubled else 1):
                    status, content, kind = self._forward(body)
                if fault.is_lost:
                    self.close_connection = True
                    return
                self._answer(status, content, {"Content-Type": kind})

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def _forward(self, body: bytes) -> tuple[int, bytes, str]:
                skipped = ("host", "connection", "transfer-encoding", "content-length")
                headers = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
                connection = http.client.HTTPConnection("127.0.0.1", proxy.server_port, timeout=60)
                with contextlib.closing(connection):
                    connection.request(self.command, self.path, body, headers)
                    answer = connection.getresponse()
                    return answer.status, answer.read(), answer.getheader("Content-Type") or ""

            def _answer(self, status: int, content: bytes, headers: dict[str, object]) -> None:
                with contextlib.suppress(OSError):  # whoever asked may have given up
                    self.send_response(status)
                    for name, value in headers.items():
                        if value is not None:
                            self.send_header(name, str(value))
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

        return Handler


@contextlib.contextmanager
def before(port: int) -> Iterator[Proxy]:
    """Opens a proxy before a server's port."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
