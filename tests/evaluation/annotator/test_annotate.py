"""The annotator against a local server that misbehaves: retries, counts, the cache, what is sent and what never is."""

import gzip
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from meds_rl.evaluation.annotator import Endpoint, Question, ReplyCache, annotate, asking
from meds_rl.evaluation.annotator.address import proxy_for, shown_proxy
from meds_rl.evaluation.annotator.questions import read_number

from .server import Reply, said, serving

OK = said("Score: 3")


def question(text="how many?"):
    return Question(text, "once more", lambda reply: read_number(reply, "score", 1, 5))


def ask(server, questions, **options):
    endpoint = Endpoint(server.url, "tiny", timeout=options.pop("timeout", 5))
    return annotate(endpoint, questions, **{"first_wait": 0.001, **options})


def test_replies_come_back_in_order():
    def answer(body, _):
        return said(f"Score: {len(body['messages'][0]['content'])}")

    with serving(answer) as server:
        found = ask(server, [question("x" * n) for n in (3, 1, 5, 2, 4)])
    assert found.values == [3, 1, 5, 2, 4]
    assert (found.num_sent, found.num_failed, found.errors) == (5, 0, {})


def test_what_is_sent():
    with serving(lambda *_: OK) as server:
        ask(server, [question("the prompt")])
        endpoint = Endpoint(
            server.url + "/chat/completions/", "m", parameters={"top_p": 0.5}, api_key="secret"
        )
        annotate(endpoint, [question()])
    (path, headers, body), (other_path, other_headers, other_body) = server.requests
    assert path == other_path == "/v1/chat/completions"
    assert body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "the prompt"}],
        "stream": False,
        "temperature": 0,
        "max_tokens": 1024,
    }
    assert "Authorization" not in headers
    assert other_headers["Authorization"] == "Bearer secret"
    assert (other_body["top_p"], "temperature" in other_body) == (0.5, False)


def test_nothing_comes_from_the_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "not-for-you")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with serving(lambda *_: OK) as server:
        assert ask(server, [question()]).values == [3]
    assert "not-for-you" not in str(server.requests)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Reply({}, status=500), "http 500"),
        (Reply({}, status=503), "http 503"),
        (Reply({}, status=429, headers={"Retry-After": "0"}), "http 429"),
        (Reply({}, status=429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), "http 429"),
        (Reply(b"<html>junk"), "not the protocol"),
        (Reply(b"[" * 100_000), "not the protocol"),
        (Reply({"choices": []}), "not the protocol"),
        (Reply([1, 2]), "not the protocol"),
        (said(None), "not the protocol"),
        (Reply(OK.pieces[0], headers={"Content-Length": 500, "Connection": "close"}), "no connection"),
    ],
)
def test_a_failure_that_may_pass_is_tried_again(failure, kind):
    with serving(lambda _, number: failure if number < 2 else OK) as server:
        found = ask(server, [question()])
    assert found.values == [3]
    assert (found.num_sent, found.errors) == (3, {kind: 2})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 307])
def test_a_failure_that_will_not_pass_is_not(status):
    reply = Reply({"error": "no"}, status=status, headers={"Location": "http://127.0.0.1:9/elsewhere"})
    with serving(lambda *_: reply) as server:
        found = ask(server, [question()])
    assert (found.values, found.num_sent, found.errors) == ([None], 1, {f"http {status}": 1})


def test_a_slow_server_is_not_waited_for():
    slow = Reply(OK.pieces[0], pause=0.5)
    with serving(lambda _, number: slow if number == 0 else OK) as server:
        found = ask(server, [question()], timeout=0.1)
    assert found.values == [3]
    assert found.errors == {"timeout": 1}


def test_a_server_that_drips_is_not_waited_for():
    drip = Reply(OK.pieces[0], pause=0.06, pieces=60)  # never silent for long, 3.6 s in all
    with serving(lambda _, number: drip if number == 0 else OK) as server:
        assert ask(server, [question()], timeout=0.2).errors == {"timeout": 1}


def test_a_reply_without_end_is_cut_off():
    with serving(lambda *_: said("Score: 3" + " " * (2 << 20))) as server:
        found = ask(server, [question()])
    assert (found.values, found.errors, found.num_sent) == ([None], {"too large": 1}, 1)


def test_a_reply_of_another_form_gets_a_reminder_and_then_fails():
    with serving(lambda *_: said("I would say 3, or so. Score: 3?")) as server:
        found = ask(server, [question()], attempts=3)
    assert (found.values, found.num_sent, found.errors) == ([None], 3, {"not of the form asked for": 3})
    assert [len(body["messages"]) for _, _, body in server.requests] == [1, 3, 3]
    assert server.requests[1][2]["messages"][1:] == [
        {"role": "assistant", "content": "I would say 3, or so. Score: 3?"},
        {"role": "user", "content": "once more"},
    ]


def test_failures_are_counted_and_the_rest_goes_on():
    def answer(body, _):
        return Reply({}, status=400) if "bad" in body["messages"][0]["content"] else OK

    with serving(answer) as server:
        found = ask(server, [question(f"bad {i}" if i % 3 == 0 else f"good {i}") for i in range(30)])
    assert [value is None for value in found.values] == [i % 3 == 0 for i in range(30)]
    assert (found.num_failed, found.errors) == (10, {"http 400": 10})
    assert found.to_dict()["failed"] == 10


def test_a_server_that_never_replies_is_left_alone_after_a_few_questions():
    with serving(lambda *_: Reply({}, status=401)) as server:
        found = ask(server, [question(str(i)) for i in range(100)], concurrency=2)
    assert found.num_failed == 100
    assert len(server.requests) < 12
    assert found.errors["not sent"] == 100 - found.num_sent


def test_no_server_at_all():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    endpoint = Endpoint(url, "m", timeout=1)
    found = annotate(endpoint, [question()], first_wait=0.0, attempts=2)
    assert (found.values, found.errors) == ([None], {"no connection": 2})


def test_no_more_requests_at_a_time_than_allowed():
    lock, now, most = threading.Lock(), [0], [0]

    def answer(*_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return OK

    with serving(answer) as server:
        ask(server, [question(str(i)) for i in range(20)], concurrency=3)
    assert 1 <= most[0] <= 3


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


# ---- the cache ----


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
        for change in (
            [damage] if damage is not None else [{**entry, "reply": 3}, {**entry, "reply": "Score: 77"}]
        ):
            path.write_bytes(change if isinstance(change, bytes) else json.dumps(change).encode())
            found = ask(server, [question()], cache=ReplyCache(tmp_path))
            assert (found.values, found.num_corrupt, found.num_sent) == ([3], 1, 1)
            assert json.loads(path.read_text()) == entry


def test_failures_are_not_kept(tmp_path):
    with serving(lambda _, number: said("junk") if number == 0 else OK) as server:
        assert ask(server, [question()], cache=ReplyCache(tmp_path), attempts=1).values == [None]
        assert files_of(tmp_path) == []
        assert ask(server, [question()], cache=ReplyCache(tmp_path), attempts=1).values == [3]


def test_a_cache_that_cannot_be_written_loses_no_reply(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("meds_rl.evaluation.annotator.cache.write_atomically", full)
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


# ---- refusals ----


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("127.0.0.1:8000/v1", {}, "must be an address like"),
        ("ftp://host/v1", {}, "must be an address like"),
        ("http:///v1", {}, "must be an address like"),
        ("http://host:port/v1", {}, "port .* from 1 to 65535"),
        ("http://host:65536/v1", {}, "port .* from 1 to 65535"),
        ("http://host:0/v1", {}, "port .* from 1 to 65535"),
        ("http://host/a b", {}, "without spaces"),
        ("http://ho\u200bst/v1", {}, "without spaces or invisible"),
        ("http://a..b/v1", {}, "host .* cannot be"),
        ("http://[::g]/v1", {}, "address"),
        ("http://host/v1?key=x", {}, "no query"),
        ("http://host/v1#key", {}, "no fragment"),
        ("http://host/v1", {"timeout": float("inf")}, "at most 86400"),
        ("http://host/v1", {"timeout": float("nan")}, "at most 86400"),
        ("http://host/v1", {"parameters": {"top_p": float("nan")}}, "without NaN and Infinity"),
        ("http://host/v1", {"parameters": {"stop": {1}}}, "must be JSON"),
        ("", {}, "must be an address like"),
        ("http://me:word@host/v1", {}, "no user name or password"),
        ("http://host/v1", {"model": ""}, "must have a name"),
        ("http://host/v1", {"parameters": {"messages": [], "stream": True}}, "may not set messages, stream"),
        ("http://host/v1", {"timeout": 0}, "timeout must be above 0"),
        ("http://host/v1", {"api_key": "a\nb"}, "printable ASCII"),
    ],
)
def test_endpoints_that_cannot_be(url, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        Endpoint(url, **{"model": "m", **options})
    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"attempts": 0}, {"first_wait": -1}])
def test_numbers_that_cannot_be(options):
    with pytest.raises(ValueError, match="must be 1 or more"):
        annotate(Endpoint("http://127.0.0.1:9", "m"), [], **options)


# ---- proxies ----


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxy"),
    [
        ("http://far.example/v1", "", "http://me:word@proxy.example:3128"),
        ("https://far.example/v1", "", None),
        ("http://far.example/v1", "far.example", None),
        ("http://a.far.example/v1", ".far.example", None),
        ("http://10.1.2.3/v1", "localhost, 10.0.0.0/8", None),
        ("http://11.1.2.3/v1", "localhost, 10.0.0.0/8", "http://me:word@proxy.example:3128"),
        ("http://127.0.0.1:8000/v1", "", None),
        ("http://localhost:8000/v1", "", None),
        ("http://[::1]:8000/v1", "", None),
    ],
)
def test_which_proxy_is_used(monkeypatch, url, no_proxy, proxy):
    monkeypatch.setenv("HTTP_PROXY", "http://me:word@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(url) == proxy == Endpoint(url, "m").proxy
    assert proxy is None or shown_proxy(proxy) == "http://proxy.example:3128"


def test_this_machine_is_asked_without_the_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(lambda *_: OK) as server:
        assert ask(server, [question()]).values == [3]
