"""Gives the readers files and command lines that are unlikely or broken; prints what came of them.

Every case has to give a value or a `UserError`; any other exception is a fault of ours. Nothing
here imports TensorFlow.

    python tests/programs/fuzz_readers.py 10000 [SEED]
"""

import io
import os
import random
import string
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from samerun import config, data
from samerun.checkpoints import read
from samerun.cli.arguments import check_flags, split_flags
from samerun.config.overrides import combinations
from samerun.config.stored import apply_overrides
from samerun.errors import UserError
from samerun.launch.overrides import check_overrides
from samerun.raw_model.image_files import PNG, damage
from samerun.replay import recorded

KEYS = [
    "training.epochs", "model", "model.units", "optimizer.learning_rate", "seed", "dataset.limit",
    "tracking.tags", "tracking.tags.a", "sweep", "sweep.params", "hydra.run.dir", "experiment",
    "trial", "model@x", "dataset/augmentation", "a.b.c.d", "", ".", "model.", "sweep.n_trials",
]  # fmt: skip
VALUES = [
    "1", "-1", "1e999", "nan", "null", "true", "mlp", "[32,64]", "{a:1}", "${seed}", "${x}", "'",
    '"', "a b", "\\", "[", "]", "{", "}", "interval(0,1)", "choice(1,2)", "range(1,5)", "glob(*)",
    "sort(3,1)", "shuffle(1,2)", "tag(a,choice(1,2))", "int(1.5)", "float(x)", "str([1])",
    "log(interval(1e-4,1))", "1,2,3", "choice()", "range(1,1000000000000)", "interval(b,a)", "***",
    "\x00", "\x1b[2J", "é", "\ud800", "9" * 5000, "[" * 300, "choice(" * 100, "${" * 50, "=", "==",
    "${oc.env:HOME}", "range(0,1,0)", "json_str([1])", "extend_list(1)", "bool(2)",
]  # fmt: skip
GOOD = [
    "model=mlp", "training.epochs=3,4", "+tracking.tags.a=b", "seed=range(1,4)",
    "schedule=constant",
    "optimizer.learning_rate=choice(0.1,0.2)", "model=mlp,cnn", "experiment=digits_cnn",
]  # fmt: skip
CELLS = [
    "", "1", "2.5", "-3", "a", "b", "nan", "inf", "1e400", "1_0", '"', '""', '"a,b"', "é", "\x00",
    "2024-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "٣", "9" * 5000, "\ufeff",
    " ", "=1+1", "<b>", "\u2028", "NA", "true", "a" * 140_000, "'", ",", "²", "-0", "\x1b[2J",
]  # fmt: skip


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Changes some bytes, cuts, doubles or inserts."""
    raw = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(raw) + 1)
        what = rng.randrange(5)
        if what == 0 and raw:
            raw[place % len(raw)] = rng.randrange(256)
        elif what == 1:
            raw[place:place] = rng.randbytes(rng.randint(1, 8))
        elif what == 2:
            del raw[place : place + rng.randint(1, 30)]
        elif what == 3:
            raw[place:place] = raw[place : place + rng.randint(1, 200)]
        elif raw:
            raw[place : place + 4] = rng.choice(
                [b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"]
            )
    return bytes(raw)


def word(rng: random.Random) -> str:
    """Makes a word of the command line, from Hydra's grammar or from anything."""
    if rng.random() < 0.1:
        return "".join(rng.choices(string.printable, k=rng.randint(0, 30)))
    if rng.random() < 0.4:
        return rng.choice(GOOD)
    key, value = rng.choice(KEYS), rng.choice(VALUES)
    for _ in range(rng.randrange(3)):
        shape = rng.choice(["{},{}", "[{},{}]", "{{a:{},b:{}}}", "choice({},{})", "{}{}"])
        value = shape.format(value, rng.choice(VALUES))
    return f"{rng.choice(['', '', '', '+', '++', '~'])}{key}{rng.choice(['=', '=', ''])}{value}"


def overrides(rng: random.Random, folder: Path, stored: str) -> None:
    """Reads a command line as `samerun train` and `samerun resume` do before they train."""
    arguments = [word(rng) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.3:
        apply_overrides(stored, arguments)
        return
    flags, plain = split_flags(arguments + (["-m"] if rng.random() < 0.3 else []))
    given = check_overrides(plain)
    check_flags(flags)
    for number, combination in enumerate(combinations(given) if flags else [plain]):
        if number < 2 and not any("hydra" in one for one in combination):
            config.compose(combination)


def npz(rng: random.Random, folder: Path, stored: str) -> None:
    """Reads arrays of any shape and type, or the bytes of good ones after a mutation."""
    file = io.BytesIO()
    num = rng.choice([0, 1, 40, 60, 80])
    types = ["f4", "f8", "i8", "u1", "?", ">i2", "c8", "U3", "S2", "M8[s]", "V3", "f2", "O"]
    made = {}
    for name in rng.choice([("x", "y"), ("x_train", "y_train", "x_test", "y_test"), ("x",), ()]):
        shape = (num, *rng.choices([0, 1, 2, 3], [1, 9, 9, 9], k=rng.randint(0, 4)))
        if name[0] == "y":
            shape = rng.choice([(num,), (num, 1), (num, 2), ()])
        values = np.arange(np.prod(shape, dtype=int)).reshape(shape) % rng.choice([1, 2, 3, 300])
        made[name] = values.astype(rng.choice(types if rng.random() < 0.3 else ["f4", "i8"]))
    rng.choice([np.savez, np.savez_compressed])(file, **made)
    content = file.getvalue()
    if rng.random() < 0.5:
        content = repacked(content, rng) if rng.random() < 0.5 else mutated(content, rng)
    path = folder / "a.npz"
    path.write_bytes(content)
    if rng.random() < 0.2:
        read(path)
    cfg = replace(NPZ, path=str(path), limit=rng.choice([None, 5]))
    data.describe(cfg)
    data.digests(cfg)


def repacked(content: bytes, rng: random.Random) -> bytes:
    """Changes the headers of arrays, and gives the archive right checksums again."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            member = old.read(name)
            new.writestr(name, mutated(member[:128], rng) + member[128:])
    return file.getvalue()


def csv(rng: random.Random, folder: Path, stored: str) -> None:
    """Reads tables, texts and series out of odd cells, quotes, line ends and bytes."""
    num_columns = rng.randint(1, 4)
    cells = rng.sample(CELLS, rng.randint(1, 6)) if rng.random() < 0.6 else ["1", "2", "a"]
    lines = [",".join(["a", "b", "c", "d"][:num_columns])]
    share = rng.choice([0, 0.02, 0.5])
    for number in range(rng.choice([0, 1, 30, 60])):
        odd = [rng.choice(cells) for _ in range(num_columns)]
        if rng.random() >= share:
            odd = [str(number), str(number % 2), f"{number}.5", "x"][:num_columns]
        lines.append(",".join(odd))
    content = rng.choice(["\n", "\n", "\r\n", "\r"]).join(lines).encode("utf-8", "surrogatepass")
    path = folder / "a.csv"
    path.write_bytes(mutated(content, rng) if rng.random() < 0.3 else content)
    cfg = replace(rng.choice(TABLES), path=str(path))
    data.describe(cfg)
    data.digests(cfg)


def picture(rng: random.Random, folder: Path, stored: str) -> None:
    """Looks at pictures with changed bytes, and at a folder that holds one of them."""
    content = mutated(rng.choice(PICTURES), rng)
    if rng.random() < 0.3:
        content = rng.choice([PNG, b"\xff\xd8\xff"]) + content[rng.randrange(20) :]
    damage(content)
    if rng.random() < 0.2:
        (folder / "pictures" / "a" / "0.png").write_bytes(content)
        cfg = replace(FOLDER, path=str(folder / "pictures"))
        data.describe(cfg)
        data.digests(cfg)


def stored_config(rng: random.Random, folder: Path, stored: str) -> None:
    """Reads a config out of a store after a mutation."""
    text = mutated(stored.encode(), rng).decode("utf-8", "replace")
    if rng.random() < 0.4:
        line = rng.choice(stored.splitlines())
        text = stored.replace(line, f"{line.partition(':')[0]}: {rng.choice(VALUES)}")
    recorded.check_values_only(text)
    config.from_yaml(text)


KINDS = {
    "overrides": overrides,
    "npz": npz,
    "csv": csv,
    "picture": picture,
    "stored config": stored_config,
}


def pictures() -> list[bytes]:
    """Returns small good pictures."""
    from PIL import Image

    found = []
    for kind, mode in (("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("JPEG", "RGB"), ("JPEG", "L")):
        file = io.BytesIO()
        Image.effect_noise((9, 7), 50).convert(mode).save(file, kind)
        found.append(file.getvalue())
    return found


NPZ = config.compose(["dataset=npz", "dataset.path=x"]).config.dataset
FOLDER = config.compose(["dataset=image_folder", "dataset.path=x"]).config.dataset
TABLES = [
    config.compose([f"dataset={name}", "dataset.path=x", *more]).config.dataset
    for name, more in (
        ("table_csv", ["dataset.target=b"]),
        ("table_csv", ["dataset.target=a", "dataset.missing=impute"]),
        ("text_csv", ["dataset.text_column=a", "dataset.label_column=b"]),
        ("series_csv", ["dataset.target=a", "dataset.window=3"]),
        ("series_csv", ["dataset.target=b", "dataset.date_column=a", "dataset.window=3"]),
    )
]
PICTURES = pictures()


def main(num: int, seed: int) -> int:
    """Runs a number of cases, equally many of each kind; prints a table, returns the exit code."""
    stored = config.compose(["model=mlp"]).resolved
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    seconds: Counter[str] = Counter()
    slowest: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in ("a", "b"):
            Path(folder, "pictures", name).mkdir(parents=True)
            for number in range(10):
                Path(folder, "pictures", name, f"{number}.png").write_bytes(PICTURES[0])
        for case in range(num):
            kind = list(KINDS)[case % len(KINDS)]
            began = time.monotonic()
            outcome = one(kind, f"{seed} {case}", Path(folder), stored)
            taken = time.monotonic() - began
            counts[kind][outcome] += 1
            seconds[kind] += taken
            slowest[kind] = max(slowest[kind], taken)
    print(
        f"{'reader':<15}{'cases':>7}{'values':>8}{'refused':>9}{'faults':>8}{'seconds':>9}{'slowest':>9}"
    )
    for kind, found in counts.items():
        cells = [found.total(), found["value"], found["refused"], found["fault"]]
        row = "".join(f"{n:>{w}}" for n, w in zip(cells, (7, 8, 9, 8), strict=True))
        print(f"{kind:<15}{row}{seconds[kind]:>9.1f}{slowest[kind]:>9.2f}")
    return int(any(found["fault"] for found in counts.values()))


def one(kind: str, seed: str, folder: Path, stored: str) -> str:
    """Runs a case; a fault is printed with the seed that makes it again."""
    try:
        KINDS[kind](random.Random(seed), folder, stored)
    except UserError:
        return "refused"
    except Exception:
        print(f"{kind}, seed {seed!r}:\n{traceback.format_exc(limit=-4)}", file=sys.stderr)
        return "fault"
    return "value"


if __name__ == "__main__":
    warnings.simplefilter("error")
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
