"""What a run logs before anything heavy is imported: its config, and where it comes from.

That is enough to resume it, so it is on the disk before there is a run.
"""

import dataclasses
import json
from collections.abc import Mapping

from samerun import identity
from samerun.config import Composition, fingerprint, flatten
from samerun.provenance import Provenance
from samerun.tracking import Run


def describe_origin(run: Run, composition: Composition, provenance: Provenance) -> None:
    """Writes the config and where the run comes from, before anything heavy begins.

    Args:
        run: where to write.
        composition: the config and how it was composed.
        provenance: code, environment, machine.
    """
    cfg, code = composition.config, provenance.code
    run.log_params(flatten(cfg))
    tags = {
        "samerun.model": cfg.model.kind,
        "samerun.dataset": cfg.dataset.kind,
        "samerun.fingerprint.config": fingerprint(cfg),
        "samerun.fingerprint.code": code.digest,
        "samerun.command": provenance.command,
    }
    if code.commit:  # outside a git checkout nothing is known of either
        tags |= {"mlflow.source.git.commit": code.commit, "samerun.commit": code.commit}
        tags["samerun.dirty"] = str(code.is_dirty).lower()
    if code.branch:
        tags["mlflow.source.git.branch"] = code.branch
    run.set_tags(tags)
    run.log_text(composition.resolved, "config/resolved.yaml")
    run.log_text(composition.composed, "config/composed.yaml")
    run.log_text("\n".join(composition.overrides) + "\n", "config/overrides.txt")
    files = identity.code_files(cfg)
    run.log_text(json.dumps(files, indent=1), "provenance/files.json")
    plain = dataclasses.asdict(provenance) | {"own_packages": identity.own_packages(cfg)}
    diff = plain["code"].pop("diff")
    run.log_text(json.dumps(plain, indent=2), "provenance/provenance.json")
    run.log_text(_requirements(provenance.packages), "provenance/requirements.txt")
    if diff:
        run.log_text(diff, "provenance/uncommitted.diff")


def _requirements(packages: Mapping[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in packages.items())
