"""What a run logs before anything heavy is imported: its config and its origin.

That is enough to resume it, so it is on the disk before the run exists in the store.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping

from samerun import identity, uncommitted
from samerun import tags as tag
from samerun.config import Composition, fingerprint, parameters
from samerun.provenance import Provenance
from samerun.tracking import Run

_log = logging.getLogger(__name__)


def describe_origin(run: Run, composition: Composition, provenance: Provenance) -> None:
    """Writes the config and where the run comes from, before TensorFlow is imported.

    Args:
        run: where to write.
        composition: the config and how it was composed.
        provenance: code, environment, machine.
    """
    cfg, code = composition.config, provenance.code
    run.log_params(parameters(cfg))
    tags = {
        tag.MODEL: cfg.model.kind,
        tag.DATASET: cfg.dataset.kind,
        tag.FINGERPRINT_CONFIG: fingerprint(cfg),
        tag.FINGERPRINT_CODE: code.digest,
        tag.COMMAND: provenance.command,
    }
    if code.commit:  # outside a git checkout both are unknown
        tags |= {"mlflow.source.git.commit": code.commit, tag.COMMIT: code.commit}
        tags[tag.DIRTY] = str(code.is_dirty).lower()
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
    missing = uncommitted.sentence(code.left_out)
    if missing:
        _log.warning(missing)


def _requirements(packages: Mapping[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in packages.items())
