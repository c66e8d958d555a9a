"""The annotator against a local server that misbehaves: retries, counts, what is sent and what never is."""

import socket
import threading
import time

import pytest

from meds_rl.evaluation.annotator import Endpoint, annotate

from .questions_asked import OK, ask, question
from .server import Reply, said, serving


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
        endpoint = Endpoint(server.url + "/chat/completions/", "m", parameters={"top_p": 0.5}, api_key="secret")
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
