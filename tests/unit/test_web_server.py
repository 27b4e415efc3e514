"""Servers that commands start or open: which port is checked, and which address no proxy is for."""

import http.server
import socket
import threading

import pytest

from samerun import cli
from samerun.tracking import pages


@pytest.fixture
def taken():
    """A port on which nothing else can listen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        probe.listen()
        yield probe.getsockname()[1]


def test_no_port_is_needed_where_the_runs_are_on_a_server(tmp_path, monkeypatch, capsys, taken):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert cli.main(["ui", "--port", str(taken), "--no-browser"]) == 0
    assert "http://127.0.0.1:9/" in capsys.readouterr().out


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_proxy_is_not_asked_for_an_address_of_this_machine(monkeypatch, name):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        address = f"http://{name}:{server.server_port}/"
        with pages.opener(address).open(address, timeout=10) as answer:
            assert answer.read() == b"here"
        thread.join()


def test_a_proxy_is_asked_for_other_addresses(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="refused"):
        pages.opener("http://store.example").open("http://store.example", timeout=10)
