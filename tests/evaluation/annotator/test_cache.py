"""The cache of replies: what is kept, damage, a full disk, no secrets."""

import json
import os

import pytest

from meds_rl.evaluation.annotator import Endpoint, ReplyCache, annotate

from .questions_asked import OK, ask, question
from .server import said, serving


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_answered_question_is_not_sent_again(tmp_path):
    questions = [question("a"), question("b")]
    with serving(lambda *_: OK) as server:
        ask(server, questions, cache=ReplyCache(tmp_path))
        again = ask(server, [*questions, question("c")], cache=ReplyCache(tmp_path))
    assert again.values == [3, 3, 3]
    assert (again.num_cached, again.num_sent) == (2, 1)
    assert sorted(server.prompts) == ["a", "b", "c"]
    assert [path.suffix for path in files_of(tmp_path)] == [".json"] * 3


def test_other_models_and_parameters_are_other_questions(tmp_path):
    cache = ReplyCache(tmp_path)
    cache.put("m", "prompt", {"temperature": 0}, "Score: 1")
    assert cache.get("m", "prompt", {"temperature": 0}) == "Score: 1"
    assert cache.get("n", "prompt", {"temperature": 0}) is None
    assert cache.get("m", "Prompt", {"temperature": 0}) is None
    assert cache.get("m", "prompt", {"temperature": 1}) is None
    assert cache.num_corrupt == 0


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"version": 1, "key": "other", "reply": "Score: 1"}',
        b'{"version": 2}',
        None,
    ],
)
def test_a_damaged_entry_is_ignored_counted_and_replaced(tmp_path, damage):
    with serving(lambda *_: OK) as server:
        ask(server, [question()], cache=ReplyCache(tmp_path))
        [path] = files_of(tmp_path)
        entry = json.loads(path.read_text())
        for change in [damage] if damage is not None else [{**entry, "reply": 3}, {**entry, "reply": "Score: 77"}]:
            path.write_bytes(change if isinstance(change, bytes) else json.dumps(change).encode())
            found = ask(server, [question()], cache=ReplyCache(tmp_path))
            assert (found.values, found.num_corrupt, found.num_sent) == ([3], 1, 1)
            assert json.loads(path.read_text()) == entry


@pytest.mark.parametrize("kind", ["link", "linked folder", "fifo", "link to itself"])
def test_what_leads_out_of_the_cache_is_neither_read_nor_written(tmp_path, kind):
    cache, key = ReplyCache(tmp_path / "cache"), ("m", "prompt", {})
    ReplyCache(tmp_path / "away").put(*key, "Score: 5")
    (away,) = (tmp_path / "away").glob("*/*.json")
    path = tmp_path / "cache" / away.relative_to(tmp_path / "away")
    path.parent.parent.mkdir()
    if kind == "linked folder":
        path.parent.symlink_to(away.parent)
    else:
        path.parent.mkdir()
        os.mkfifo(path) if kind == "fifo" else path.symlink_to(away if kind == "link" else path)
    before = away.read_bytes()
    assert cache.get(*key) is None
    cache.put(*key, "Score: 1")
    assert (cache.num_corrupt, cache.num_unsaved) == (1, 1)
    assert away.read_bytes() == before


def test_failures_are_not_kept(tmp_path):
    with serving(lambda _, number: said("junk") if number == 0 else OK) as server:
        assert ask(server, [question()], cache=ReplyCache(tmp_path), attempts=1).values == [None]
        assert files_of(tmp_path) == []
        assert ask(server, [question()], cache=ReplyCache(tmp_path), attempts=1).values == [3]


def test_a_cache_that_cannot_be_written_loses_no_reply(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("meds_rl.evaluation.annotator.asking.write_atomically", full)
    with serving(lambda *_: OK) as server:
        found = ask(server, [question("a"), question("b")], cache=ReplyCache(tmp_path))
    assert (found.values, found.num_unsaved) == ([3, 3], 2)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be written to"):
        ReplyCache(tmp_path / "file").check()


def test_the_cache_and_what_is_shown_hold_no_key_and_no_prompt(tmp_path):
    with serving(lambda *_: OK) as server:
        endpoint = Endpoint(server.url, "m", api_key="sk-secret")
        annotate(endpoint, [question("private words")], cache=ReplyCache(tmp_path))
    text = "".join(path.read_text() for path in files_of(tmp_path))
    assert "sk-secret" not in text + repr(endpoint) + str(endpoint)
    assert "private words" not in text
