"""`samerun bundle` and `samerun unbundle`: a run in one file, for another machine."""

import argparse
from pathlib import Path

from samerun.cli.id_argument import ID_HELP
from samerun.cli.trust_argument import add_trust


def bundle_command(arguments: list[str]) -> int:
    """Writes a run into a bundle."""
    parser = argparse.ArgumentParser(
        prog="samerun bundle",
        description="Writes a recorded run to one file: config, code with its uncommitted "
        "changes, list of packages, digests of the data, metrics, predictions, checkpoints and "
        "verdicts, with RO-Crate metadata and a SHA-256 of every file.",
    )
    parser.add_argument("id", metavar="ID", help=ID_HELP)
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to write, as in run.zip")
    parser.add_argument(
        "--data", action="store_true", help="include the data, not only its digests"
    )
    parser.add_argument(
        "--sign",
        type=Path,
        metavar="KEY",
        help="sign it with an SSH key such as ~/.ssh/id_ed25519, by ssh-keygen; the signature is "
        "FILE.sig",
    )
    add_trust(parser, reads_data=False)
    chosen = parser.parse_args(arguments)
    from samerun import tracking
    from samerun.amounts import size
    from samerun.console import make_console, show_lines
    from samerun.replay import bundle
    from samerun.replay.signature import signature_of
    from samerun.replay.unbundle import names

    (run,) = tracking.find_runs([chosen.id])
    made = bundle.bundle(
        run, chosen.file, has_data=chosen.data, key=chosen.sign, trusted=chosen.trust
    )
    rows = [("bundle", f"{made.file} ({made.num_files} files, {size(made.num_bytes)})")]
    if made.data:
        rows.append(("data", names(made.data)))
    elif made.missing:
        rows.append(("data", f"only its digests: --data adds {names(made.missing)}"))
    if made.left_out:
        rows.append(("left out", names(made.left_out)))
    check = ""
    if chosen.sign is not None:
        rows.append(("signature", str(signature_of(made.file))))
        check = " --verify-key KEY.pub"
    rows.append(("elsewhere", f"samerun unbundle {made.file.name}{check}"))
    show_lines(rows, make_console())
    return 0


def unbundle_command(arguments: list[str]) -> int:
    """Reads a bundle into the store of this folder."""
    parser = argparse.ArgumentParser(
        prog="samerun unbundle",
        description="Reads a bundle into the store of this folder. The run is one that another "
        "machine recorded: its code runs only with --trust, and its paths stay in this folder.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the bundle")
    parser.add_argument(
        "--verify-key",
        type=Path,
        metavar="KEYS",
        help="refuse it unless FILE.sig was made with one of these public SSH keys, as in "
        "~/.ssh/id_ed25519.pub",
    )
    chosen = parser.parse_args(arguments)
    from samerun.console import make_console, show_lines
    from samerun.replay import unbundle
    from samerun.replay.recorded import clean

    made = unbundle.unbundle(chosen.file, key=chosen.verify_key)
    rows = [("run", f"{clean(made.name)}  {made.run_id}"), ("was", made.original)]
    if made.data:
        rows.append(("data", unbundle.names(made.data)))
    if made.code:
        what = unbundle.names(made.code)
        rows.append(("code", f"{what}: among the run's artifacts; read it before you copy it here"))
    if chosen.verify_key is not None:
        rows.append(("signature", f"made with {chosen.verify_key}"))
    rows.append(("reproduce", f"samerun reproduce {made.run_id[:8]}"))
    show_lines(rows, make_console())
    return 0
