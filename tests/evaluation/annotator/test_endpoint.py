"""Endpoints that cannot be, and proxies."""

import pytest

from meds_rl.evaluation.annotator import Endpoint, annotate
from meds_rl.evaluation.annotator.endpoint import proxy_for, shown_proxy

from .questions_asked import OK, ask, question
from .server import serving


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
