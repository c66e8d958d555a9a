"""What is written over, and what is read of other people's YAML."""

import os
import socket
import sys
from pathlib import Path

import pytest

from meds_rl.files import load_yaml, remove_unfinished, write_atomically

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs devices and FIFOs")


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    for path in (Path("/dev/null"), *(tmp_path / name for name in ("fifo", "link", "socket"))):
        with pytest.raises(OSError, match=f"{path.name} is no regular file and is not replaced"):
            write_atomically(path, b"new")
    assert not Path("/dev/null").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "link", "socket"]


def test_standard_output_is_not_replaced():
    """It is a pipe here: its real path does not exist."""
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="is no regular file"):
        write_atomically(Path(f"/dev/fd/{writer}"), b"new")
    os.close(reader)
    os.close(writer)


def test_a_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "in").mkdir()
    left = tmp_path / "in" / f".part.{'0a' * 16}.tmp"
    others = tmp_path / f".new.{'0b' * 16}.tmp", tmp_path / ".mine.tmp", tmp_path / f"part.{'0a' * 16}.tmp"
    for file, seconds in zip((left, *others), (99, 100, 1, 1), strict=True):
        file.touch()
        os.utime(file, (seconds, seconds))
    remove_unfinished(tmp_path, before=100)
    assert [file.exists() for file in (left, *others)] == [False, True, True, True]


def test_a_billion_laughs_are_refused():
    laughs = ["a0: &a0 [ha, ha]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40))]
    with pytest.raises(ValueError, match=r"line 2 has an alias \(\*a0\)"):
        load_yaml("\n".join(laughs))
    assert load_yaml("a: &a [1]") == {"a": [1]}  # an anchor alone does nothing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: {c: 1, c: 2}", "the key 'c' comes twice, again in line 2"),
        ("a: 0x" + "f" * 5000, r"line 1 has a number of 5,002 characters"),
        ("\na: 1" + ":1" * 5000, r"line 2 has a number of 10,001 characters"),
        ("# " + "x" * 250_000, "it has 250,002 characters; at most 250,000 are read"),
        ("a: 1\nb: !!timestamp x", "line 2: 'x' is no timestamp"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("a: 1\n--- 2", "line 2: expected a single document"),
    ],
)
def test_yaml_of_others_is_refused_by_line(text, said):
    with pytest.raises(ValueError, match=said) as raised:
        load_yaml(text)
    assert "\n" not in str(raised.value)


def test_aliases_that_are_allowed_are_bounded():
    assert load_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}", aliases=True) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}
    letters = "bcdefgh"
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(
        f"{one}: &{one} [{', '.join(['*' + before] * 9)}]\n" for before, one in zip("abcdefg", letters, strict=True)
    )
    with pytest.raises(
        ValueError,
        match=r"has [\d,]{7,} values on .* levels once its aliases .* are replaced; at most [\d,]+ values",
    ):
        load_yaml(laughs, aliases=True)
    with pytest.raises(ValueError, match="line 1 contains itself"):
        load_yaml("a: &a [*a]", aliases=True)
