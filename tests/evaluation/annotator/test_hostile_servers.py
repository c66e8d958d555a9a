"""Servers that never end, send what was not asked for, or are left by Ctrl-C; and what is asked twice."""

import gzip
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from meds_rl.evaluation.annotator import Endpoint, ReplyCache, annotate, asking

from .questions_asked import OK, ask, question
from .server import Reply, serving


@pytest.mark.parametrize("raw", ["headers", "information", "compressed"])
def test_a_server_that_is_never_silent_is_not_waited_for(raw):
    begin, drip = {
        "headers": (b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
        "information": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        # A gzip header whose file name never ends: nothing comes out of it.
        "compressed": (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(5) + b"\xff",
            b"a",
        ),
    }[raw]
    with dripping(begin, drip) as url:
        found = annotate(Endpoint(url, "m", timeout=0.3), [question()], attempts=2, first_wait=0)
    assert (found.values, found.errors) == ([None], {"timeout": 2})


@contextmanager
def dripping(begin, drip):
    """A server that sends ``begin``, then ``drip`` every 20 ms for as long as anybody listens."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection):
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(begin)
                while not over.wait(0.02):
                    connection.sendall(drip)

        def accept():
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        over.set()
        listening.shutdown(socket.SHUT_RDWR)


def test_an_interrupt_gives_up_what_is_under_way_and_keeps_what_came(tmp_path, monkeypatch):
    over, late = threading.Event(), []

    def answer(body, _):
        if "quick" not in body["messages"][0]["content"] and not over.wait(20):
            late.append(body)
        return OK

    real = asking.wait

    def wait(futures, **_):
        real([future for future, row in futures.items() if row == 0])  # the quick one is in the cache
        raise KeyboardInterrupt

    monkeypatch.setattr(asking, "wait", wait)
    with serving(answer) as server:
        questions = [question("quick"), *(question(str(i)) for i in range(20))]
        endpoint = Endpoint(server.url, "m", timeout=1000)
        with pytest.raises(KeyboardInterrupt):
            annotate(endpoint, questions, concurrency=3, cache=ReplyCache(tmp_path))
        assert not late, "the slow replies were not waited for"
        over.set()
    assert ReplyCache(tmp_path).get("m", "quick", endpoint.parameters) == "Score: 3"
    assert len(server.requests) <= 4


def test_compressed_replies_are_not_asked_for_and_not_undone():
    bomb = gzip.compress(bytes(50_000_000))
    with serving(lambda *_: Reply(bomb, headers={"Content-Encoding": "gzip"})) as server:
        found = ask(server, [question()], attempts=1)
    assert found.errors == {"not the protocol": 1}
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_no_cookies():
    with serving(lambda *_: Reply(OK.pieces[0], headers={"Set-Cookie": "track=me; Path=/"})) as server:
        ask(server, [question("a"), question("b")], concurrency=1)
    assert "Cookie" not in server.requests[1][1]


def test_equal_questions_are_asked_once():
    with serving(lambda *_: OK) as server:
        found = ask(server, [question("a")] * 5 + [question("b")])
    assert (found.values, found.num_sent, found.num_cached) == ([3] * 6, 2, 4)


@pytest.mark.parametrize("content", ["<think>Let me see, the first solution", None])
def test_thoughts_that_were_cut_off_are_called_so(content):
    body = {"choices": [{"message": {"content": content}, "finish_reason": "length"}]}
    with serving(lambda *_: Reply(body)) as server:
        found = ask(server, [question()], attempts=1)
    assert found.errors == {"cut off at the length limit (max_tokens)": 1}
