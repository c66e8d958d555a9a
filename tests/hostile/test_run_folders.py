"""Damaged run folders and foreign dumps: what can be read is reported, the rest is named, and nothing is changed."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.cli.main import main
from meds_rl.rollouts import ROLLOUT_COLUMNS, RunFolderError, read

from ..report.runs import RIGHT, WRONG, write_evaluation, write_run
from .test_recipes import LAUGHS, PLAIN

pytestmark = pytest.mark.hostile

DUMPS = Path(__file__).parents[1] / "rollouts" / "dumps"
BATCH = [*[("p", "2", WRONG)] * 3, *[("q", "3", WRONG)] * 3, ("p", "1", RIGHT), ("q", None, WRONG)]
Folder = dict[str, bytes]
"""The files of a folder, by their paths in it."""


@cache
def sources() -> list[Folder]:
    """Small real folders: runs, and what other programs saved."""
    with tempfile.TemporaryDirectory() as name:
        run = write_run(Path(name) / "run", [BATCH] * 3, spread=0.02)
        write_evaluation(run, "before", {("test", "x"): ["r", "a", "a", None]})
        write_evaluation(run, "after", {("test", "x"): ["r", "r", "a", "b"]})
        write_run(Path(name) / "bare", [BATCH] * 2, memory=False)
        write_run(Path(name) / "pair" / "one", [BATCH] * 2, spread=0.02)
        write_run(Path(name) / "pair" / "two", [BATCH] * 2, memory=False)
        run.write_environment({"output_dir": "."})
        runs = [folder_at(Path(name) / each) for each in ("run", "run", "run", "bare", "pair")]
    dumps = [folder_at(path) for path in sorted(DUMPS.iterdir()) if path.is_dir() and path.name != "__pycache__"]
    rows = [
        {"prompt": f"{n % 3} + 1?", "completion": f"\\boxed{{{n % 4}}}", "reward": n % 2, "step": n // 6}
        for n in range(24)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    table = pq_bytes(pa.Table.from_pylist(rows))
    csv = "prompt,completion,reward,step\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    plain: list[Folder] = [
        {"a.jsonl": lines, "b.jsonl": lines.replace(b"boxed", b"boxed ")},
        {"a.json": json.dumps(rows).encode()},
        {"a.csv": csv.encode()},
        {"step_1.parquet": table, "step_2.parquet": table},
        {
            "a.jsonl.gz": gzip.compress(lines),
            "b.jsonl.xz": lzma.compress(lines),
            "c.csv.bz2": bz2.compress(csv.encode()),
        },
    ]
    return [*runs, *dumps, *plain]


def folder_at(path: Path) -> Folder:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def pq_bytes(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


# ---- Damage of bytes. Each returns the new content.


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(max(1, len(data)))]


def flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 3, 30])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def inserted(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    what = [
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\r",
        b"\xef\xbb\xbf",
        b"\x1b[2J",
        b'"',
        b"}\n{",
        b"1" * 5000,
        b"[" * 100_000,
    ]
    return data[:place] + rng.choice(what) + data[place:]


def other(rng: random.Random, _: bytes) -> bytes:
    return rng.choice(
        [b"", b"\0" * 4096, b"PAR1", b"PAR1PAR1", b"{}", b"[]", b"null", rng.randbytes(500), b"x" * 3_000_000]
    )


def exchanged(rng: random.Random, _: bytes) -> bytes:
    return rng.choice(list(rng.choice(sources()).values()))


# ---- Damage of what is in a parquet file.

NESTED = {"a": [{"b": [None, {"c": "x"}]}]}
VALUES: list[Callable[[int], Any]] = [
    lambda n: pa.nulls(n),
    lambda n: pa.array(["x"] * n),
    lambda n: pa.array([b"\xff\xfe"] * n),
    lambda n: pa.array([b"\xff"] * n).view(pa.string()) if n else pa.array([], pa.string()),
    lambda n: pa.array([float("nan"), float("inf"), -1e308, 1e308] * n)[:n],
    lambda n: pa.array([2**62, -1, -(2**63), 0] * n)[:n],
    lambda n: pa.array([True, None] * n)[:n],
    lambda n: pa.array([NESTED] * n),
    lambda n: pa.array([[["a"], []]] * n),
    lambda n: pa.array([{"role": "user", "content": "\x1b[2J"}] * n),
    lambda n: pa.array(["\x1b[31m\u202e\n\0"] * n),
    lambda n: pa.array(["9" * 400] * n),
    lambda n: pa.array(["x" * 2_000_000] * n),
    lambda n: pa.array([2**63 - 1] * n).cast(pa.timestamp("s")),
    lambda n: pa.array(["a"] * n).dictionary_encode(),
    lambda n: pa.array([10**30] * n, pa.decimal128(38, 2)),
]


def of_table(rng: random.Random, data: bytes) -> bytes:
    """A parquet file with other columns."""
    try:
        table = pq.ParquetFile(io.BytesIO(data)).read()
    except (pa.ArrowException, OSError):  # damaged already
        return cut(rng, data)
    n, names = len(table), table.column_names
    name = rng.choice(names)
    place = names.index(name)
    kind = rng.randrange(9)
    if kind < 4:
        table = table.set_column(place, name, rng.choice(VALUES)(n))
    elif kind == 4:
        table = table.remove_column(place)
    elif kind == 5:
        table = table.append_column(name, table.column(place))
    elif kind == 6:
        table = table.slice(0, rng.choice([0, 0, 1]))
    elif kind == 7:
        table = table.rename_columns([rng.choice([*names, "", "\x1b[2J", "a.b.c"]) for _ in names])
    else:
        table = table.append_column("more", rng.choice(VALUES)(n))
    try:
        return pq_bytes(table)
    except pa.ArrowException:  # a time that cannot be written
        return cut(rng, data)


@cache
def parquet_bomb() -> bytes:
    """A few kB that are twenty gigabytes of texts."""
    rows = 50_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["x" * 10_000]))
    number = pa.array(np.zeros(rows, np.int8))
    table = pa.table({"prompt": text, "completion": text, "reward": number, "step": number})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        for _ in range(20):
            writer.write_table(table)
    return sink.getvalue().to_pybytes()


@cache
def rollouts_bomb() -> bytes:
    """The same as a file of rollouts."""
    rows = 100_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["x" * 1000]))
    number = pa.array(np.zeros(rows, np.int8))
    texts = ("prompt", "completion", "answer", "strategy", "reason", "prompt_id", "group_id", "outcome")
    table = pa.table({name: text if name in texts else number for name in ROLLOUT_COLUMNS})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(table)
    return sink.getvalue().to_pybytes()


@cache
def packed_bomb(suffix: str) -> bytes:
    """Forty megabytes of rows in some kilobytes."""
    row = b'{"prompt": "p", "completion": "%s", "reward": 0}\n' % (b"c" * 100_000)
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}[suffix]
    one = pack(row * 60)
    return one * 6


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


# ---- Damage of rows of JSON.

HARD = [
    *(
        "1e999",
        "-1e999",
        "NaN",
        "Infinity",
        "1" * 5000,
        "1" + "0" * 400,
        "null",
        "true",
        '"\\ud800"',
        '"\\u0000\\u001b[2J"',
    ),
    *(
        '"\\u202e"',
        "[" * 100_000,
        "[" * 900 + "]" * 900,
        '{"a":' * 5000 + "1" + "}" * 5000,
        "{}",
        "[]",
        "[[]]",
        '[{"role": 1}]',
    ),
    *(
        '[{"content": {"a": [1]}}]',
        '{"a": 1, "a": 2}',
        '"' + "x" * 500_000 + '"',
        "-0",
        "1.5",
        "9007199254740993",
        "2024",
        '""',
    ),
]


def of_json(rng: random.Random, data: bytes) -> bytes:
    """JSON lines with another value in some rows."""
    lines = data.split(b"\n")
    for _ in range(rng.choice([1, 4, len(lines)])):
        place = rng.randrange(len(lines))
        keys = re.findall(rb'"(\w+)": ', lines[place])
        if keys:
            key = rng.choice(keys).decode()
            new = rf'"{key}": {rng.choice(HARD)}, "was_{key}": '.encode()
            lines[place] = lines[place].replace(f'"{key}": '.encode(), new, 1)
    return b"\n".join(lines)


def of_text(rng: random.Random, data: bytes) -> bytes:
    """Lines that are gone, twice, or in another order; a cut within a character."""
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return rng.choice(
        [
            b"\n".join(lines),
            data + data,
            b"\n".join(lines[: len(lines) // 2]),
            data + "é".encode()[:1],
            data.replace(b"\n", b"\r\n"),
        ]
    )


def damaged_file(rng: random.Random, name: str, data: bytes) -> bytes:
    kinds: list[Callable[[random.Random, bytes], bytes]] = [cut, flipped, inserted, other, exchanged]
    if name.endswith(".parquet"):
        kinds += [of_table] * 8
    if name.endswith((".jsonl", ".json")):
        kinds += [of_json, of_json, of_json, of_json, of_text]
    if name == "recipe.yaml" and rng.random() < 0.7:
        field = rng.choice(
            ["method", "seed", "max_steps", "meds_alpha", "meds_beta", "num_generations", "eval_k", "task"]
        )
        return data + f"{field}: {rng.choice([*PLAIN, LAUGHS])}\n".encode("utf-8", "surrogatepass")
    return rng.choice(kinds)(rng, data)


# ---- Damage of the folder.

ODD = ["a\nb", "\x1b[2J", "\u202e", os.fsdecode(b"\xff"), "'", "[x]", "*", "a b", "-x", "~", "%s", "é", "x" * 200]


def write(rng: random.Random, root: Path) -> tuple[Path, str]:
    """Write a damaged folder; the path to give, and the name of a file that cannot be read at all."""
    files = dict(rng.choice(sources()))
    path = root / (rng.choice(ODD) if rng.random() < 0.1 else "given")
    names, gone = list(files), ""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        name = rng.choice(names)
        if name in files:
            files[name] = damaged_file(rng, name, files[name])
    victim = rng.choice(names)
    kind = rng.randrange(12)
    if kind == 0:
        del files[victim]
    elif kind == 1:
        files[
            rng.choice(["notes.txt", "x.jsonl", "rollouts/generation-x.parquet", ".hidden.jsonl", "metrics.jsonl"])
        ] = b"x"
    elif kind == 2 and rng.random() < 0.7:
        suffix = rng.choice(["gz", "bz2", "xz", "zst"])
        files = {
            **(files if rng.random() < 0.3 else {}),
            f"z.{rng.choice(['jsonl', 'json', 'csv'])}.{suffix}": packed_bomb(suffix),
        }
    elif kind == 3 and rng.random() < 0.5:
        files["rollouts/generation-000001.parquet" if "recipe.yaml" in files else "z.parquet"] = (
            rollouts_bomb() if "recipe.yaml" in files else parquet_bomb()
        )
    elif kind == 4 and victim.endswith(".parquet") and "rollouts/generation" in victim:
        files[victim], gone = files[victim][: len(files[victim]) // 2], Path(victim).name
    elif kind == 5:
        files["environment.json"] = rng.choice(
            [
                b'{"schema_version": 99}',
                b'{"schema_version": "x"}',
                b'{"schema_version": 1e999}',
                b"[1]",
                b'{"output_dir": [1]}',
                b'{"output_dir": "/"}',
                b"{" + b'"a":{' * 50_000,
            ]
        )
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    if kind in (6, 7, 8):
        spoil(rng, path, path / victim)
    return (path, gone) if rng.random() < 0.85 or kind == 2 else (path / victim, "")


def spoil(rng: random.Random, path: Path, victim: Path) -> None:
    """Put something that is no file in the place of one."""
    kind = rng.randrange(9)
    if kind < 6:
        victim.unlink()
    if kind == 0:
        os.mkfifo(victim)
    elif kind == 1:
        victim.mkdir()
    elif kind == 2:
        victim.symlink_to(victim)
    elif kind == 3:
        victim.symlink_to(rng.choice(["/dev/zero", "/dev/null", "/nowhere", "..", "."]))
    elif kind == 4:
        here = Path.cwd()
        os.chdir(victim.parent)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(victim.name[:90])
        os.chdir(here)
    elif kind == 5:
        victim.with_name(rng.choice(ODD)[:80] + victim.suffix).write_bytes(b"x")
    elif kind == 6:
        (path / "loop").symlink_to(path, target_is_directory=True)
    elif kind == 7:
        deep = path / "/".join(["d"] * 60)
        deep.mkdir(parents=True)
        (deep / "x.jsonl").write_bytes(b"{}\n")
    else:
        victim.chmod(0)


def state_of(root: Path) -> str:
    """A hash of everything below a folder."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(os.fsencode(path) + str(path.lstat().st_mode).encode())
        if path.is_file() and not path.is_symlink():
            digest.update(path.read_bytes())
    return digest.hexdigest()


# ---- What is done with it.

COMMANDS = ("report", "inspect", "watch", "diversity")


def command(rng: random.Random, path: Path, out: Path) -> list[str]:
    name = rng.choice(COMMANDS)
    line = [name, str(path)]
    if name == "report":
        line += ["--output", str(out / "page.html"), "--map-points", "20", "--map-prompts", "2"]
    if name == "watch":
        line += ["--once"]
    if name in ("report", "diversity") and rng.random() < 0.3:
        line += ["--json", str(out / "data.json")]
    if name == "inspect" and rng.random() < 0.3:
        line += ["--full"]
    return line


def called(line: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(line)
        except SystemExit as end:  # argparse, for a path that begins with a dash
            status = int(end.code or 0)
    return status, out.getvalue(), err.getvalue()


def trial(seed: int) -> str:
    rng = random.Random(seed)
    os.chdir("/")  # the last trial's folder is gone
    with tempfile.TemporaryDirectory() as name:
        root, out, temporary = (Path(name) / each for each in ("in", "out", "tmp"))
        for each in (root, out, temporary):
            each.mkdir()
        path, gone = write(rng, root)
        os.chdir(out)
        before = state_of(root)
        tempfile.tempdir = str(temporary)
        try:
            kind = judge_table(path)
            assert kind != "without words"
            line = command(rng, path, out)
            status, shown, errors = called(line)
        finally:
            tempfile.tempdir = None
        check_output(line, status, shown, errors, out)
        assert state_of(root) == before, "the input was changed"
        assert not list(temporary.iterdir()), "temporary files are left"
        if status == 0 and gone and line[0] == "report":
            assert gone in shown, f"{gone} is not named: {shown}"
        return f"{kind}; {line[0]}: {status}"


def judge_table(path: Path) -> str:
    """What `read` makes of it."""
    try:
        table = read(path)
    except RunFolderError as error:
        return "refused" if str(error).strip() else "without words"
    assert list(table.columns) == list(ROLLOUT_COLUMNS)
    assert (table["step"] >= 0).all()
    assert table["is_correct"].dropna().isin([True, False]).all()
    assert table["completion"].map(lambda text: text is None or isinstance(text, str)).all()
    return "read" if len(table) else "empty"


def check_output(line: list[str], status: int, shown: str, errors: str, out: Path) -> None:
    assert status in (0, 2), f"{line[0]}: status {status}: {errors[-500:]}"
    assert "Traceback" not in errors
    assert len(errors) < 5000, f"{len(errors)} characters of errors"
    for text in (shown, errors.replace("\r", "").replace("\x1b[A", "")):  # tqdm's bars
        odd = {letter for letter in text if not letter.isprintable() and letter != "\n"}
        assert not odd, f"control characters reach the terminal: {sorted(odd)}"
    if status == 2:
        assert re.search(rf"meds( {line[0]})?: \S", errors), errors[-500:]
        return
    assert shown.strip()
    if line[0] == "report":
        page = (out / "page.html").read_text("utf-8")
        assert page.rstrip().endswith("</html>")
    if (out / "data.json").exists():
        json.loads((out / "data.json").read_text("utf-8"), parse_constant=lambda name: pytest.fail(name))


def test_damaged_folders(campaign):
    for make in (sources, parquet_bomb, rollouts_bomb):
        make()
    campaign("damaged run folders and foreign dumps", trial, 450, seconds=60, gigabytes=4)


def trial_of_changes(seed: int) -> str:
    """A folder whose files are cut, grow or vanish while they are read."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        path, out = Path(name) / "in", Path(name) / "out"
        out.mkdir()
        for file, data in rng.choice(sources()).items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_bytes(data)
        files = [file for file in path.rglob("*") if file.is_file()]
        ends = threading.Event()

        def change() -> None:
            while not ends.is_set():
                time.sleep(rng.random() / 50)
                file = rng.choice(files)
                kind = rng.randrange(4)
                if kind == 0:
                    file.unlink(missing_ok=True)
                elif file.exists():
                    data = file.read_bytes()
                    file.write_bytes([data[: len(data) // 2], data + data, data + b"\n{"][kind - 1])

        thread = threading.Thread(target=change)
        thread.start()
        try:
            line = command(rng, path, out)
            status, shown, errors = called(line)
        finally:
            ends.set()
            thread.join()
        check_output(line, status, shown, errors, out)
        return f"{line[0]}: {status}"


def test_folders_that_change(campaign):
    sources()
    campaign("folders that change while they are read", trial_of_changes, 50, seconds=60, gigabytes=4)
