"""`samerun server` with clients that have no, wrong, read-only and full rights, on real sockets."""

import base64
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from samerun import cli, tracking
from samerun.errors import UserError
from samerun.tracking.server import server as own_server
from samerun.tracking.server.rules import is_read, refusal
from support import warm
from support.databases import command_lines, free_port, missing_postgres, postgres
from support.project import PROGRAMS

PASSWORD = "correct horse battery"
ACCOUNTS = {
    "anonymous": None,
    "wrong": ("member", "wrong horse battery"),
    "reader": ("reader", PASSWORD),
    "member": ("member", PASSWORD),
    "admin": ("admin", PASSWORD),
}


class Served:
    """A server in a session of its own, with an account of each kind."""

    def __init__(self, folder, **environment):
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "password").write_text(PASSWORD)
        arguments = ["server", "--port", str(self.port), "--password-file", "password"]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "samerun", *arguments],
                cwd=folder,
                env={**kept, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self):
        end = time.monotonic() + 240
        while True:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.2)

    def add_accounts(self):
        for name, only in (("reader", True), ("member", False)):
            own_server.add_user(self.folder / "server", name, PASSWORD, read_only=only)
        own_server.set_password(self.folder / "server", "admin", PASSWORD)

    def ask(self, account, method, path, body=None, headers=None):
        """Sends a request; returns the status and the text of the answer."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        if ACCOUNTS[account] is not None:
            token = base64.b64encode(":".join(ACCOUNTS[account]).encode()).decode()
            sent["Authorization"] = f"Basic {token}"
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def stop(self, number):
        """Ends the server by a signal to the command alone, as a service manager sends it."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(number)
            self.process.wait(timeout=60)
            assert command_lines(self.process.pid) == []
            socket.create_server(("127.0.0.1", self.port)).close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("server"))
    try:
        made.wait()
        made.add_accounts()
        made.ask("admin", "POST", f"{API}/experiments/create", {"name": "shared"})
        _, text = made.ask("admin", "POST", f"{API}/runs/create", {"experiment_id": "1"})
        made.run = json.loads(text)["run"]["info"]["run_id"]
        made.ask("admin", "PUT", f"{FILES}/1/{made.run}/artifacts/a.txt", b"alpha")
        made.ask("admin", "POST", f"{API}/registered-models/create", {"name": "model"})
        made.model = {"experiment_id": "1", "name": "logged", "source_run_id": made.run}
        _, text = made.ask("admin", "POST", f"{API}/logged-models", made.model)
        made.logged = json.loads(text)["model"]["info"]["model_id"]
        yield made
    finally:
        made.stop(signal.SIGINT)


API, AJAX = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
QUERY = '{mlflowGetExperiment(input:{experimentId:"1"}){experiment{name}}}'
METRIC = {"run_id": "RUN", "key": "loss", "value": 1.0, "timestamp": 1, "step": 0}
GRANT = {
    **{"username": "reader", "permission": "MANAGE"},
    **{"resource_type": "experiment", "resource_id": "*"},
}
READS = {  # what a read-only account may ask; everything else, it may not
    "the pages": ("GET", "/", None),
    "the version": ("GET", "/version", None),
    "experiments/get": ("GET", f"{API}/experiments/get?experiment_id=1", None),
    "experiments/search": ("POST", f"{API}/experiments/search", {"max_results": 5}),
    "runs/get": ("GET", f"{API}/runs/get?run_id=RUN", None),
    "runs/search": ("POST", f"{API}/runs/search", {"experiment_ids": ["1"]}),
    "runs/search of the pages": ("POST", f"{AJAX}/runs/search", {"experiment_ids": ["1"]}),
    "metrics/get-history": ("GET", f"{API}/metrics/get-history?run_id=RUN&metric_key=loss", None),
    "artifacts/list": ("GET", f"{API}/artifacts/list?run_id=RUN", None),
    "artifacts list by proxy": ("GET", f"{FILES}?path=1/RUN/artifacts", None),
    "artifact download by proxy": ("GET", f"{FILES}/1/RUN/artifacts/a.txt", None),
    "artifact download of the pages": ("GET", "/get-artifact?run_uuid=RUN&path=a.txt", None),
    "registered-models/get": ("GET", f"{API}/registered-models/get?name=model", None),
    "registered-models/search": ("GET", f"{API}/registered-models/search", None),
    "logged-models/get": ("GET", f"{API}/logged-models/LOGGED", None),
    "logged-models/search": ("POST", f"{API}/logged-models/search", {"experiment_ids": ["1"]}),
    "graphql": ("POST", "/graphql", {"query": QUERY}),
    "users/current": ("GET", f"{API}/users/current", None),
}
WRITES = {
    "experiments/create": ("POST", f"{API}/experiments/create", {"name": "of-reader"}),
    "experiments/update": ("POST", f"{API}/experiments/update", {"experiment_id": "1"}),
    "experiments/delete": ("POST", f"{API}/experiments/delete", {"experiment_id": "1"}),
    "experiments/set-tag": (
        *("POST", f"{API}/experiments/set-experiment-tag"),
        {"experiment_id": "1", "key": "a", "value": "b"},
    ),
    "runs/create": ("POST", f"{API}/runs/create", {"experiment_id": "1"}),
    "runs/create of the pages": ("POST", f"{AJAX}/runs/create", {"experiment_id": "1"}),
    "runs/update": ("POST", f"{API}/runs/update", {"run_id": "RUN", "status": "FAILED"}),
    "runs/delete": ("POST", f"{API}/runs/delete", {"run_id": "RUN"}),
    "runs/log-metric": ("POST", f"{API}/runs/log-metric", METRIC),
    "runs/log-batch": ("POST", f"{API}/runs/log-batch", {"run_id": "RUN"}),
    "runs/log-parameter": (
        *("POST", f"{API}/runs/log-parameter"),
        {"run_id": "RUN", "key": "a", "value": "b"},
    ),
    "runs/set-tag": ("POST", f"{API}/runs/set-tag", {"run_id": "RUN", "key": "a", "value": "b"}),
    "artifact upload by proxy": ("PUT", f"{FILES}/1/RUN/artifacts/a.txt", b"beta"),
    "artifact upload of the pages": (
        *("POST", f"{AJAX}/upload-artifact?run_uuid=RUN&path=b.txt"),
        b"beta",
    ),
    "artifact delete by proxy": ("DELETE", f"{FILES}/1/RUN/artifacts/a.txt", None),
    "registered-models/create": ("POST", f"{API}/registered-models/create", {"name": "other"}),
    "registered-models/delete": ("DELETE", f"{API}/registered-models/delete", {"name": "model"}),
    "model-versions/create": (
        *("POST", f"{API}/model-versions/create"),
        {"name": "model", "source": "mlflow-artifacts:/1/RUN/artifacts", "run_id": "RUN"},
    ),
    "logged-models/create": (
        *("POST", f"{API}/logged-models"),
        {"experiment_id": "1", "name": "other"},
    ),
    "logged-models/delete": ("DELETE", f"{API}/logged-models/LOGGED", None),
    "traces": ("POST", "/v1/traces", b"x"),
    "users/create": (
        *("POST", f"{API}/users/create"),
        {"username": "friend", "password": PASSWORD},
    ),
    "users/update-admin": (
        *("PATCH", f"{API}/users/update-admin"),
        {"username": "reader", "is_admin": True},
    ),
    "users/update-password of another": (
        *("PATCH", f"{API}/users/update-password"),
        {"username": "admin", "password": PASSWORD * 2},
    ),
    "users/delete": ("DELETE", f"{API}/users/delete", {"username": "member"}),
    "permissions/grant": ("POST", "/api/3.0/mlflow/users/permissions/grant", GRANT),
}
CLOSED = {  # for administrators too
    "the assistant": ("POST", "/ajax-api/3.0/mlflow/assistant/message", {"message": "ls"}),
    "its settings": ("GET", "/ajax-api/3.0/mlflow/assistant/config", None),
    "the gateway": ("POST", "/gateway/x/mlflow/invocations", {}),
    "the gateway's secrets": ("GET", "/api/3.0/mlflow/gateway/secrets/list", None),
    "the gateway's proxy": ("POST", f"{AJAX}/gateway-proxy", {}),
    "jobs": ("GET", "/ajax-api/3.0/jobs/1", None),
    "scorers": ("POST", "/ajax-api/3.0/mlflow/scorer/invoke", {}),
    "evaluations": ("POST", "/ajax-api/3.0/mlflow/genai/evaluate/invoke", {}),
    "demo data": ("POST", "/ajax-api/3.0/mlflow/demo/generate", {}),
    "MCP servers": ("GET", "/api/3.0/mlflow/mcp-servers", None),
    "webhooks": ("GET", f"{API}/webhooks", None),
}
ALL = {**READS, **WRITES, **CLOSED}


def asked(server, account, request):
    """Sends one of the requests above; returns the status."""
    method, path, body = request

    def real(text):
        return text.replace("RUN", server.run).replace("LOGGED", server.logged)

    if isinstance(body, dict):
        body = json.loads(real(json.dumps(body)))
    return server.ask(account, method, real(path), body)[0]


def answers(server, account, requests):
    """Sends every request of a table; returns the names of those that got each status."""
    found = {}
    for name, request in requests.items():
        found.setdefault(asked(server, account, request), set()).add(name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("account", ["anonymous", "wrong"])
def test_without_a_valid_account_every_request_is_refused(server, account):
    assert answers(server, account, ALL) == {401: set(ALL)}


@pytest.mark.slow
def test_a_read_only_account_can_read_and_write_nothing(server):
    assert answers(server, "reader", READS) == {200: set(READS)}
    assert answers(server, "reader", WRITES) == {403: set(WRITES)}


@pytest.mark.slow
@pytest.mark.parametrize("account", ["reader", "member", "admin"])
def test_what_training_does_not_need_is_closed(server, account):
    assert answers(server, account, CLOSED) == {403: set(CLOSED)}


@pytest.mark.slow
def test_health_and_capabilities_are_all_that_is_open_without_an_account(server):
    """MLflow's own list: what a client reads before it logs in, and the files of the pages."""
    assert server.ask("anonymous", "GET", "/health") == (200, "OK")
    status, text = server.ask("anonymous", "GET", "/api/3.0/mlflow/server-info")
    assert status == 200
    assert str(server.folder) not in text
    for path in ("/static-files/../api/2.0/mlflow/users/list", "/healthy/../version", "/signup"):
        assert server.ask("anonymous", "GET", path)[0] in (401, 404)


@pytest.mark.slow
@pytest.mark.parametrize(
    "key", ["artifact_location", "artifactLocation", "artifact_\\u006cocation"]
)
def test_no_client_chooses_a_folder_of_the_server_for_artifacts(server, key, tmp_path):
    """Plain MLflow 3.17 lets an account without any permission write files there."""
    for number, text in enumerate((f'{{"name": "e", "{key}": "{tmp_path}"}}', "NOT")):
        body = text if number == 0 else json.dumps(f'{{"name": "e", "{key}": "{tmp_path}"}}')
        for account in ("reader", "member", "admin"):
            status, answer = server.ask(account, "POST", f"{API}/experiments/create", body.encode())
            assert status == 403, answer
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_member_trains_in_shared_experiments_but_deletes_and_administrates_nothing(server):
    status, text = server.ask("member", "POST", f"{API}/runs/create", {"experiment_id": "1"})
    assert status == 200
    run = json.loads(text)["run"]["info"]["run_id"]
    path = f"{FILES}/1/{run}/artifacts/big.bin"
    assert server.ask("member", "PUT", path, b"x" * 5_000_000)[0] == 200
    assert server.ask("reader", "GET", path) == (200, "x" * 5_000_000)
    assert server.ask("member", "PUT", f"{FILES}/1/%2e%2e/%2e%2e/x", b"x")[0] in (400, 403)
    for name in ("experiments/delete", "runs/delete", "users/create", "permissions/grant"):
        assert asked(server, "member", WRITES[name]) == 403


@pytest.mark.slow
def test_other_host_names_and_other_sites_are_refused(server):
    body = {"experiment_id": "1"}
    path = f"{API}/runs/create"
    for host in ("evil.example", "10.0.0.1", "192.168.1.1:5000"):
        assert server.ask("admin", "POST", path, body, {"Host": host})[0] == 403
    assert server.ask("admin", "POST", path, body, {"Origin": "https://evil.example"})[0] == 403


@pytest.mark.slow
def test_pages_may_not_be_framed_by_other_sites(server):
    with urllib.request.urlopen(f"{server.url}/health") as answer:
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.slow
def test_no_password_is_kept_in_clear_and_the_folder_is_private(server):
    folder = server.folder / "server"
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path
    assert PASSWORD not in server.log.read_text()
    assert PASSWORD not in " ".join(command_lines(server.process.pid))


@pytest.mark.slow
def test_a_model_is_trained_on_the_server_by_a_member(server, project, samerun):
    name, password = ACCOUNTS["member"]
    signed_in = {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}
    overrides = ["model=mlp", "debug=fast", f"tracking.uri={server.url}"]
    done = samerun("train", *overrides, cwd=project, env={**os.environ, **signed_in})
    assert done.returncode == 0, done.stderr
    (found,) = Path(project).glob("outputs/**/run.json")
    run = json.loads(found.read_text())["id"]
    _, text = server.ask("reader", "GET", f"{API}/runs/get?run_id={run}")
    assert json.loads(text)["run"]["info"]["status"] == "FINISHED"
    _, text = server.ask("reader", "GET", f"{API}/artifacts/list?run_id={run}&path=config")
    assert "config/resolved.yaml" in text
    kept = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert password.encode() not in kept


@pytest.mark.slow
@pytest.mark.parametrize(
    ("account", "reason"), [("wrong", "refuses MLFLOW_TRACKING_USERNAME"), ("reader", "read only")]
)
def test_training_that_the_server_refuses_is_one_sentence(server, project, account, reason):
    name, password = ACCOUNTS[account]
    signed_in = {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}
    arguments = ["train", "model=mlp", "debug=fast", f"tracking.uri={server.url}"]
    done = warm.run(
        [sys.executable, PROGRAMS / "quick_answer.py", *arguments, "tracking.experiment=shared"],
        cwd=project,
        env={**os.environ, **signed_in},
        kind=warm.Light,
    )
    assert done.returncode == 2
    sentence, imported = done.stderr.strip().splitlines()[-2:]
    assert reason in sentence
    assert "Traceback" not in done.stderr
    assert "tensorflow" not in imported
    assert password not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(missing_postgres() is not None, reason=str(missing_postgres()))
def test_runs_are_kept_in_postgresql_and_no_command_line_shows_its_password(tmp_path, monkeypatch):
    secret = "hunter2secret"
    with postgres(secret) as uri:
        served = Served(tmp_path, MLFLOW_BACKEND_STORE_URI=uri)
        try:
            served.wait()
            path = f"{API}/experiments/create"
            assert served.ask("anonymous", "POST", path, {"name": "x"})[0] == 401
            status, text = served.ask("admin", "POST", path, {"name": "in-postgresql"})
            assert status == 200, text
            lines = command_lines(served.process.pid)
            assert len(lines) >= 2  # `mlflow server` and uvicorn
            assert [line for line in lines if secret in line] == []
        finally:
            served.stop(signal.SIGTERM)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert_ui_hides(secret, tmp_path)
        assert not list(tmp_path.rglob("mlflow.db"))


def assert_ui_hides(secret, folder):
    """Runs `samerun ui` on the store of the environment and looks at all its processes."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "samerun", "ui", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    seen = []
    try:
        end = time.monotonic() + 240
        while time.monotonic() < end:
            seen += command_lines(process.pid)
            with contextlib.suppress(OSError):
                query = urllib.request.Request(
                    f"http://127.0.0.1:{port}{API}/experiments/get-by-name"
                    "?experiment_name=in-postgresql"
                )
                assert urllib.request.urlopen(query, timeout=30).status == 200
                break
            time.sleep(0.05)
        seen += command_lines(process.pid)
        assert any("uvicorn" in line for line in seen)
        assert [line for line in seen if secret in line] == []
        path = f"http://127.0.0.1:{port}{API}/experiments/get?experiment_id=0"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(path, headers={"Host": "evil.example"}))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


@pytest.fixture(autouse=True)
def stays_this_process(monkeypatch):
    """A server that starts instead of being refused would replace the process of the tests."""
    monkeypatch.setattr(os, "execve", lambda *arguments: pytest.fail(f"started {arguments[1]}"))


def refused(capsys, *arguments):
    """Runs a command that has to be refused; returns its sentence."""
    assert cli.main(["server", *arguments]) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert message.count("\n") == 1
    return message


def test_a_port_in_use_is_one_sentence(project, capsys):
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        assert "in use" in refused(capsys, "--port", str(port))
    assert "--port" in refused(capsys, "--port", "99999")
    assert not (project / "server").exists()


def test_listening_on_every_address_needs_the_names_of_the_server(project, capsys):
    assert "--allowed-hosts" in refused(capsys, "--host", "0.0.0.0")
    for bad in ("*", "https://runs.example.org", "*.example.org"):
        message = refused(capsys, "--host", "0.0.0.0", "--allowed-hosts", bad)
        assert "without a scheme, a path or a wildcard" in message


def test_a_folder_that_cannot_be_written_is_one_sentence(project, capsys):
    (project / "file").write_text("")
    assert "cannot be written" in refused(capsys, "--port", str(free_port()), "--folder", "file/x")


def test_a_database_of_another_version_or_program_is_one_sentence(project, capsys):
    import sqlite3

    port = str(free_port())
    folder = project / "server"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.execute("create table trials (id int)")
    assert "tables of another program" in refused(capsys, "--port", port)
    (project / "mlflow.db").replace(folder / "mlflow.db")
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.execute("update alembic_version set version_num = 'abc'")
        database.commit()
    assert "another version of MLflow" in refused(capsys, "--port", port)


def test_an_unreachable_postgresql_is_one_sentence_without_its_password(
    project, capsys, monkeypatch
):
    uri = f"postgresql+psycopg2://me:hunter2@127.0.0.1:{free_port()}/runs"
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", uri)
    message = refused(capsys, "--port", str(free_port()))
    assert "MLFLOW_BACKEND_STORE_URI" in message
    assert "hunter2" not in message
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "./mlruns")
    assert "expected an SQLAlchemy URI" in refused(capsys, "--port", str(free_port()))


def test_a_short_password_a_taken_name_and_no_server_are_one_sentence(project, capsys):
    (project / "short").write_text("1234567\n")
    (project / "empty").write_text("\n")
    (project / "good").write_text(f"{PASSWORD}\n")
    port = ["--port", str(free_port())]
    assert "has no password" in refused(capsys, *port, "--password-file", "empty")
    assert "cannot be read" in refused(capsys, *port, "--password-file", "none")
    assert "at least 12 characters" in refused(capsys, *port, "--password-file", "short")
    assert "not the folder of a server" in refused(capsys, "add-user", "me", "--folder", ".")
    made = own_server.Server(folder=project / "server", port=free_port())
    assert own_server.prepare_server(made, PASSWORD) is None
    assert "at least 12" in refused(capsys, "add-user", "me", "--password-file", "short")
    assert "without a colon" in refused(capsys, "add-user", "a:b")
    assert cli.main(["server", "add-user", "me", "--password-file", "good"]) == 0
    assert "has an account" in refused(capsys, "add-user", "me")
    assert "expected one of: admin, me" in refused(capsys, "set-password", "you")


def test_a_made_up_password_is_shown_on_a_terminal_only(project, capsys, monkeypatch):
    made = own_server.Server(folder=project / "server", port=free_port())
    first = own_server.prepare_server(made, None)
    assert first is not None
    assert len(first) >= 20
    assert own_server.prepare_server(made, None) is None
    shown = []
    for is_terminal in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda answer=is_terminal: answer, raising=False)
        assert cli.main(["server", "set-password", "admin"]) == 0
        shown.append(capsys.readouterr().out)
    assert "MLFLOW_TRACKING_PASSWORD=" in shown[0]
    assert "MLFLOW_TRACKING_PASSWORD=" not in shown[1]
    assert "samerun server set-password admin" in shown[1]


def test_settings_left_in_a_shell_cannot_open_the_server(tmp_path, monkeypatch):
    for key in ("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED"):
        monkeypatch.setenv(key, "true")
    monkeypatch.setenv("MLFLOW_BASIC_AUTH_FAIL_CLOSED", "false")
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "*")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9000")
    made = own_server.Server(folder=tmp_path, host="10.0.0.5", allowed_hosts=("runs.example.org",))
    environment = own_server.server_environment(made)
    for key in ("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "MLFLOW_BASIC_AUTH_FAIL_CLOSED"):
        assert key not in environment
    assert "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED" not in environment
    assert environment["MLFLOW_S3_ENDPOINT_URL"] == "http://127.0.0.1:9000"
    hosts = environment["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert {"localhost", "127.0.0.1:5000", "runs.example.org", "10.0.0.5:5000"} <= set(hosts)
    assert not any("*" in host for host in hosts)
    origins = environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert "https://runs.example.org" in origins
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_the_ui_gets_its_store_by_the_environment(project):
    uri = "postgresql+psycopg2://samerun:hunter2secret@127.0.0.1:5599/runs"
    command, environment = tracking.ui_command(host="127.0.0.1", port=5000, uri=uri)
    assert "hunter2secret" not in " ".join(command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == uri
    with pytest.raises(UserError, match="has its own UI|has a server|own UI"):
        tracking.ui_command(host="127.0.0.1", port=5000, uri="http://127.0.0.1:1")


@pytest.mark.parametrize(
    "body", [None, [], "text", {"name": "a", "artifact_location": "/etc"}, {"name": "a", "x": 1}]
)
def test_an_experiment_is_made_of_a_name_and_tags_only(body):
    assert refusal("POST", f"{API}/experiments/create", body)
    assert refusal("POST", f"{API}/experiments/create", {"name": "a", "tags": []}) is None


def test_what_is_not_known_to_be_a_read_is_a_write():
    assert is_read("GET", f"{API}/runs/get")
    assert is_read("POST", f"{API}/runs/search")
    for method in ("POST", "PUT", "PATCH", "DELETE", "BREW"):
        assert not is_read(method, f"{API}/runs/new-in-some-version")
