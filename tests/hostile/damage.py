"""Damages to a memory file: to its bytes, or to what it says under a digest that is right."""

import contextlib
import hashlib
import json
import math
import random
from typing import Any

import numpy as np

HEADER = "meds_rl.error_memory"

# ---- Bytes: the digest does not match any more.


def damaged_bytes(rng: random.Random, whole: bytes, other: bytes) -> bytes:
    """The file after one to three accidents."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(ACCIDENTS)(rng, data, other)
    return bytes(data)


def _place(rng: random.Random, data: bytearray) -> int:
    """Any place; one of three in the header."""
    end = rng.choice((len(data), len(data), min(len(data), 1500)))
    return rng.randrange(max(end, 1))


def _flip(rng: random.Random, data: bytearray, _: bytes) -> None:
    for _ in range(rng.choice((1, 1, 8, 100))):
        if data:
            data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray, _: bytes) -> None:
    start, size = _place(rng, data), rng.choice((1, 8, 64, 1000))
    fill = rng.choice((b"\0", b"\xff", b"9", b'"', rng.randbytes(1)))
    data[start : start + size] = fill * len(data[start : start + size])


def _cut(rng: random.Random, data: bytearray, _: bytes) -> None:
    start = _place(rng, data)
    del data[start : rng.choice((len(data), start + 1, start + 8, start + 500))]


def _insert(rng: random.Random, data: bytearray, other: bytes) -> None:
    start = _place(rng, data)
    data[start:start] = rng.choice((b"\0", rng.randbytes(rng.choice((1, 8, 300))), other[: rng.randrange(1, 400)]))


def _swap(rng: random.Random, data: bytearray, _: bytes) -> None:
    size = rng.choice((1, 8, 32, 256))
    one, two = _place(rng, data), _place(rng, data)
    if abs(one - two) >= size and max(one, two) + size <= len(data):
        data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]


def _join(rng: random.Random, data: bytearray, other: bytes) -> None:
    half = _place(rng, data)
    data[:] = rng.choice((data + other, data[:half] + other[half:], other[:half] + data[half:], data + data))


def _header_length(rng: random.Random, data: bytearray, _: bytes) -> None:
    length = int.from_bytes(data[:8], "little")
    lengths = (0, 1, length - 1, length + 1, length + 8, len(data), len(data) - 8, 2**31, 2**63, 2**64 - 1)
    data[:8] = (rng.choice(lengths) % 2**64).to_bytes(8, "little")


def _digits(rng: random.Random, data: bytearray, _: bytes) -> None:
    """Another digit in the header: other shapes and places."""
    places = [place for place in range(8, min(len(data), 1500)) if chr(data[place]).isdigit()]
    for _ in range(rng.choice((1, 2))):
        if places:
            data[rng.choice(places)] = ord(rng.choice("0123456789-e."))


ACCIDENTS = (_flip, _overwrite, _cut, _insert, _swap, _join, _header_length, _digits)

# ---- Content: another file, whole and with its digest.

Tensors = dict[str, np.ndarray]
ODD_NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 100, 2**24, 2**24 + 1, 2**31 - 1, 2**31, 2**62, 2**63 - 1)
ODD_FLOATS = (math.nan, math.inf, -math.inf, -0.0, 0.0, 1e-45, -1.0, 3.4e38, 1e39, 1e154, 1e308)
ODD_VALUES = (
    *(None, True, False, "", "3", 3.0, 2.5, math.nan, math.inf, -1, 0, 1, 5, 2**31, 2**61, 2**62, 2**70, 10**400),
    *([], [3], {}, {"a": 1}, "\x1b[2J\ud800", "x" * 100_000),
)  # fmt: skip


def opened(whole: bytes) -> tuple[dict[str, Any], dict[str, Any], Tensors]:
    """The file's own header, the memory's, and the columns."""
    length = int.from_bytes(whole[:8], "little")
    raw = json.loads(whole[8 : 8 + length])
    kinds = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1"}
    tensors = {}
    for name, about in raw.items():
        if name not in ("__metadata__", "sha256"):
            start, end = (8 + length + offset for offset in about["data_offsets"])
            tensors[name] = np.frombuffer(whole[start:end], kinds[about["dtype"]]).reshape(about["shape"]).copy()
    return raw, json.loads(raw["__metadata__"][HEADER]), tensors


def closed(raw: Any, tensors: Tensors) -> bytes:
    """A file with this header and these columns, in this order, and their digest."""
    text = json.dumps(raw).encode()
    text += b" " * (-len(text) % 8)
    content = b"".join([len(text).to_bytes(8, "little"), text, *(column.tobytes() for column in tensors.values())])
    return content + hashlib.sha256(content).digest()


def header_of(memory_header: Any, tensors: Tensors) -> dict[str, Any]:
    """The file's header for these columns."""
    names = {"<f4": "F32", "<f8": "F64", "<i4": "I32", "<i8": "I64", "|u1": "U8"}
    raw: dict[str, Any] = {"__metadata__": {HEADER: json.dumps(memory_header)}}
    end = 0
    for name, column in [*tensors.items(), ("sha256", np.zeros(32, np.uint8))]:
        start, end = end, end + column.nbytes
        raw[name] = {"dtype": names[column.dtype.str], "shape": list(column.shape), "data_offsets": [start, end]}
    return raw


def contradiction(rng: random.Random, whole: bytes) -> bytes:
    """A file with its digest that says something else, or what no memory says."""
    raw, header, tensors = opened(whole)
    if rng.random() < 0.1:
        _other_raw_header(rng, raw)
        return closed(raw, tensors)
    for change in rng.sample(CHANGES, rng.choice((1, 1, 1, 2))):
        with contextlib.suppress(AttributeError, LookupError, TypeError, ValueError):  # of a change after a change
            header = change(rng, header, tensors) or header
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))
    return closed(header_of(header, ordered), ordered)


def _other_raw_header(rng: random.Random, raw: dict[str, Any]) -> None:
    """Columns that are not as the header says."""
    name = rng.choice([name for name in raw if name != "__metadata__"])
    field = rng.choice(("dtype", "shape", "data_offsets", "all", "metadata", "name"))
    if field == "all":
        raw[name] = rng.choice(ODD_VALUES)
    elif field == "metadata":
        raw["__metadata__"] = rng.choice(
            ({}, [], 3, {HEADER: 3}, {HEADER: None}, {HEADER: "{}"}, {HEADER: "[" * 90_000}, {"other": "{}"})
        )
    elif field == "name":
        raw["x" * rng.choice((1, 1000))] = raw.pop(name)
    elif field == "dtype":
        raw[name]["dtype"] = rng.choice(("F32", "F64", "I32", "I64", "U8", "F16", "", 3, None, []))
    else:
        values = raw[name][field]
        values[rng.randrange(len(values))] = rng.choice((*ODD_VALUES, values[0] + 1))


def _header_field(rng: random.Random, header: dict[str, Any], _: Tensors) -> Any:
    name = rng.choice(("step", "next_id", "n_features", "n_features", "schema_version"))
    if rng.random() < 0.1:
        del header[name]
    elif rng.random() < 0.1:
        return rng.choice(ODD_VALUES)
    else:
        value = header[name]
        near = [] if value is None else [value + 1, value - 1, -value, float(value), str(value), 2 * value]
        header[name] = rng.choice((*ODD_VALUES, *near))
    return header


def _numbers(rng: random.Random, _: Any, tensors: Tensors) -> None:
    """Other numbers in one column."""
    column = tensors[rng.choice(list(tensors))]
    flat = column.reshape(-1)
    if not flat.size:
        return
    odd = ODD_FLOATS if column.dtype.kind == "f" else ODD_NUMBERS
    limits = None if column.dtype.kind == "f" else np.iinfo(column.dtype)
    for _ in range(rng.choice((1, 1, 2, 10))):
        place, value = rng.randrange(flat.size), rng.choice((*odd, flat[rng.randrange(flat.size)].item()))
        if limits is not None:
            flat[place] = min(max(value, int(limits.min)), int(limits.max))
        else:
            flat[place] = min(max(value, -3.4e38), 3.4e38) if column.itemsize == 4 and math.isfinite(value) else value


def _whole_column(rng: random.Random, _: Any, tensors: Tensors) -> None:
    """A column in another order, of another type or shape, cut, longer, gone, or one more."""
    name = rng.choice(list(tensors))
    column = tensors[name]
    rows, kind = len(column), rng.randrange(9)
    order = np.array(rng.sample(range(rows), rows), dtype=np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        other = column.astype(rng.choice(("<f4", "<f8", "<i4", "<i8", "u1")))
    shape = rng.choice([(column.size,), (column.size, 1), (1, column.size), (1, *column.shape), column.shape[::-1]])
    if kind == 7:
        del tensors[name]
    elif kind == 8:
        tensors[rng.choice(("zebra", "tree ", "x" * 500, "\ud800"))] = column
    else:
        tensors[name] = (
            column[order], other, column.reshape(shape), column[: rng.randint(0, rows)].copy(),
            np.concatenate([column, column]), np.zeros_like(column), np.roll(column, 1, axis=0),
        )[kind]  # fmt: skip


def _tree(rng: random.Random, _: Any, tensors: Tensors) -> None:
    """Cycles, edges to oneself, more roots and parents that are not there, in one entry's tree."""
    tree, sizes = tensors["tree"], tensors["entry_sizes"]
    found = [place for place in range(len(sizes)) if sizes[place, 3] > 2]
    if not found:
        return
    place = rng.choice(found)
    start = int(sizes[:place, 3].sum())
    own = tree[start : start + sizes[place, 3]]
    n, point, root = len(own), rng.randrange(len(own)), int(np.argmin(own))
    kind = rng.randrange(7)
    if kind == 0:
        own[point] = point
    elif kind == 1:  # the root of a part leads back into the part, and another point becomes the root
        child = next((i for i in range(n) if own[i] == point), point)
        own[point] = child if own[point] >= 0 else own[point]
    elif kind == 2:  # one long cycle beside the root
        others = [i for i in range(n) if i != root]
        own[others] = others[1:] + others[:1]
    elif kind == 3:
        own[point] = -1
    elif kind == 4:
        own[point] = rng.choice((n, n + 1, 2**31 - 1, -2, -(2**31)))
    elif kind == 5:  # a tree, and not the shortest
        own[:] = [rng.randrange(i) if i else -1 for i in range(n)]
    else:
        own[:] = [rng.randrange(n) for _ in range(n)]
        own[root] = -1


def _runs(rng: random.Random, header: dict[str, Any], tensors: Tensors) -> None:
    """Lengths that nobody can expand, or whose sum does not fit."""
    name = rng.choice(("runs", "no_answer_runs"))
    runs = tensors[name]
    if not runs.size:
        return
    place = rng.randrange(len(runs))
    if rng.random() < 0.5:
        runs[place, 2] = rng.choice((0, -1, 2**24, 2**24 + 1, 2**31, 2**40, 2**62, 2**63 - 1))
    elif len(runs) > 1:  # the sum is right modulo 2^64
        part = rng.choice((2**62, 2**63 - 1))
        with np.errstate(over="ignore"):
            runs[[place, place - 1], 2] += np.array([part, -part])
    if rng.random() < 0.7:  # and room for such ids
        header["next_id"] = rng.choice((2**61, 2**62 - 1, 2**64))
        runs[:, 0] = np.cumsum([0, *np.minimum(np.abs(runs[:-1, 2]), 2**50)])
    if rng.random() < 0.3:
        runs[place, 1] = rng.choice((-1, header["step"], header["step"] - 1, 2**62))


def _unanswered(rng: random.Random, header: dict[str, Any], tensors: Tensors) -> None:
    """Very many completions without an answer, in order: as many as a prompt may have, or one more."""
    runs = tensors["no_answer_runs"]
    if len(runs):
        header["next_id"] = 2**61
        most = 2**24 - int(np.clip(runs[:-1, 2], 0, 100).sum())
        runs[-1] = [2**60, 5, rng.choice((10**5, 10**5, 10**5, 10**6, most, most + 1, 2**31))]
        header["step"] = 6


def _sizes(rng: random.Random, _: Any, tensors: Tensors) -> None:
    sizes = tensors["entry_sizes"]
    if rng.random() < 0.2:  # very many entries of nothing
        count = rng.choice((1000, 300_000))
        tensors["entry_sizes"] = np.concatenate([sizes, np.zeros((count, 5), np.int64)])
        if rng.random() < 0.5:
            keys = json.loads(tensors["entry_keys"].tobytes()) + [
                [number, False] for number in range(10**6, 10**6 + count)
            ]
            tensors["entry_keys"] = np.frombuffer(json.dumps(keys).encode(), np.uint8).copy()
    elif len(sizes):
        place, axis = rng.randrange(len(sizes)), rng.randrange(5)
        moved = rng.choice((1, -1, 5, 2**31, 2**62))
        sizes[place, axis] += moved
        if rng.random() < 0.5:  # what one has more another has less
            sizes[rng.randrange(len(sizes)), axis] -= moved


def _keys(rng: random.Random, _: Any, tensors: Tensors) -> None:
    name = rng.choice(("entry_keys", "entry_keys", "kept_keys"))
    keys = json.loads(tensors[name].tobytes())
    odd: Any = rng.choice((*ODD_VALUES, -(2**1024), 10**4299, "\x00", 7, "new", [["a"]]))
    if keys and rng.random() < 0.7:
        place = rng.randrange(len(keys))
        key = keys[place]
        if isinstance(key, list) and rng.random() < 0.7:
            key[rng.randrange(2)] = odd
        elif rng.random() < 0.5:
            keys[place] = keys[rng.randrange(len(keys))]
        else:
            keys[place] = odd
    text = json.dumps(keys)
    if rng.random() < 0.2:
        text = rng.choice(
            ("", "[" * 100_000, "[1e999]", "[" + "9" * 5000 + "]", text[:-1], "{}", "null", "\ufeff[]", "[[NaN, true]]")
        )
    tensors[name] = np.frombuffer(text.encode() + rng.choice((b"", b"", b"", b"\xff", b" ")), np.uint8).copy()


def _clusters(rng: random.Random, _: Any, tensors: Tensors) -> None:
    """Labels that a clustering could have given, or could not."""
    clusters, sizes = tensors["clusters"], tensors["entry_sizes"]
    if not clusters.size:
        return
    kind, highest = rng.randrange(4), rng.choice((2**30, 2**30 + 1, 2**31 - 1, 2**62))
    if kind == 0:
        sizes[:, 4] = highest
    elif kind == 1:
        sizes[:, 4] = highest
        clusters[rng.randrange(len(clusters))] = min(highest, 2**31) - 1
    elif kind == 2:
        clusters[:] = rng.choice((-1, 0, 1))
    else:
        clusters[:] = [rng.randint(-1, max(int(sizes[:, 4].min()) - 1, -1)) for _ in clusters]


CHANGES = (
    _header_field, _header_field, _numbers, _numbers, _numbers, _whole_column, _whole_column, _tree, _tree, _runs,
    _runs, _unanswered, _sizes, _keys, _clusters,
)  # fmt: skip
