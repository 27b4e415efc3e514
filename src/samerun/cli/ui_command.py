"""`samerun ui`: MLflow's server on the runs of this folder, and the page that shows them."""

import argparse
import sys
from typing import TYPE_CHECKING

from samerun.cli.web_server import check_port, serve, wait_for

if TYPE_CHECKING:
    from samerun.tracking import StoredRun


def ui_command(arguments: list[str]) -> int:
    """Starts MLflow's server, and opens a page of it once it answers."""
    parser = argparse.ArgumentParser(
        prog="samerun ui",
        description="Opens the MLflow UI: all runs of this folder, one run, or a sweep's trials.",
    )
    parser.add_argument(
        "id", nargs="?", metavar="ID", help="a run, a sweep or a multirun (default: all runs)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=5000, type=int, help="port to listen on (%(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    chosen = parser.parse_args(arguments)
    from samerun import tracking

    if not tracking.resolve_uri(None).startswith("http"):  # there, no server is started
        check_port(chosen.host, chosen.port, "ui")
    uri = tracking.existing()
    run = tracking.find_runs([chosen.id])[0] if chosen.id else None
    opens = not chosen.no_browser and sys.stdout.isatty()
    if uri.startswith("http"):
        _show(tracking.server_address(uri), run, opens=opens)
        return 0
    command, environment = tracking.ui_command(host=chosen.host, port=chosen.port)
    local = "127.0.0.1" if chosen.host in ("0.0.0.0", "::") else chosen.host
    base = f"http://{f'[{local}]' if ':' in local else local}:{chosen.port}"
    environment.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with serve([sys.executable, *command], environment) as server:
        wait_for(server, f"{base}/health", "MLflow's server")
        _show(base, run, opens=opens)
        print("Ctrl-C ends it.", flush=True)
        return server.wait()


def _show(base: str, run: "StoredRun | None", *, opens: bool) -> None:
    """Prints the address of a page, alone on its line, and opens it."""
    from samerun.tracking import pages

    try:
        address = pages.find_address(base, run.id if run else None)
    except (OSError, ValueError, LookupError, TypeError):  # such as a server that asks for a login
        address = pages.plain_address(base, (run.experiment_id, run.id) if run else None)
    print(f"The MLflow UI is at\n{address}", flush=True)
    if opens:
        import webbrowser

        webbrowser.open(address)
