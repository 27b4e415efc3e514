"""`samerun serve`: MLflow's scoring server for the model of a run."""

import argparse
import json
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust
from samerun.cli.web_server import check_port, serve, wait_for
from samerun.escaping import for_screen

if TYPE_CHECKING:
    from collections.abc import Mapping


def serve_command(arguments: list[str]) -> int:
    """Serves a model until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="samerun serve",
        description="Serves the model of a run on raw input with MLflow's scoring server: POST "
        "/invocations, GET /health. Nothing of the store is executed. There is no password: keep "
        "it on this machine or behind a proxy.",
    )
    parser.add_argument("id", metavar="ID", help=ID_HELP)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=5001, type=int, help="port to listen on (%(default)s)")
    add_trust(parser, reads_data=False)
    chosen = parser.parse_args(arguments)
    check_port(chosen.host, chosen.port, f"serve {chosen.id}")
    from samerun import tracking

    (run,) = tracking.find_runs([chosen.id])
    from samerun.serving import server as scoring

    with tempfile.TemporaryDirectory(prefix="samerun-serve-") as name:
        model = scoring.prepare(run, Path(name), trusted=chosen.trust)
        command, environment = scoring.command(model.folder, chosen.host, chosen.port)
        with serve(command, environment, is_quiet=True) as server:
            address = f"http://{chosen.host}:{chosen.port}"
            wait_for(server, f"{address}/health", "MLflow's scoring server")
            print(
                f"The model is at\n{address}/invocations\nCtrl-C ends it. Example request:\n"
                f"{curl_line(address, model.example)}",
                flush=True,
            )
            return server.wait()


def curl_line(address: str, example: "Mapping[str, Any]") -> str:
    """Returns the line to type for a request; names of the store in it are only text to a shell.

    Args:
        address: of the server.
        example: body of the request.
    """
    body = shlex.quote(for_screen(json.dumps(example)))
    return f"curl {address}/invocations -H 'Content-Type: application/json' -d {body}"
