"""An OpenAI-compatible endpoint: POST /chat/completions, and nothing else.

The `openai` package is not used: it sends address, organisation, project and headers from the environment, follows
redirects and retries silently. It is built on httpx2, as this is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

MAX_TIMEOUT = 86_400.0  # seconds: a day
MAX_REPLY_BYTES = 1 << 20
_LOOK_EVERY = 0.1
_MAY_PASS = (408, 409, 425, 429)
_EXAMPLE = "http://127.0.0.1:8000/v1"
_COMPLETIONS = "/chat/completions"


class EndpointError(Exception):
    """A request without a reply.

    `kind` is "http 500" or another status, "timeout", "no connection", "too large", "not the protocol" or "stopped";
    `retry` is whether the error may pass; `wait` are the seconds that the server names, or None.
    """

    def __init__(self, kind: str, *, retry: bool, wait: float | None = None) -> None:
        super().__init__(kind)
        self.kind, self.retry, self.wait = kind, retry, wait


async def _exchange(
    endpoint: Endpoint, body: bytes, headers: Mapping[str, str], stopped: threading.Event | None
) -> bytes:
    """The reply's body; EndpointError if its status is not 200, if it is too large or late, or `stopped` is set."""
    deadline = time.monotonic() + endpoint.timeout
    task = asyncio.ensure_future(_sent(endpoint, body, headers))
    try:
        while True:
            left = deadline - time.monotonic()
            done, _ = await asyncio.wait({task}, timeout=max(0.0, min(_LOOK_EVERY, left)))
            if done:
                return task.result()
            if stopped is not None and stopped.is_set():
                raise EndpointError("stopped", retry=False)
            if left <= 0:
                raise EndpointError("timeout", retry=True)
    finally:
        task.cancel()  # no effect on a task that is done


async def _sent(endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> bytes:
    import httpx2

    # A client for each exchange: no cookies and no half-closed connections. It follows no redirects.
    try:
        async with (
            httpx2.AsyncClient(
                verify=endpoint._context, proxy=endpoint.proxy, timeout=endpoint.timeout, trust_env=False
            ) as client,
            client.stream("POST", endpoint.address, content=body, headers=headers) as response,
        ):
            if response.status_code != 200:
                raise _of_status(response.status_code, response.headers.get("retry-after"))
            data = bytearray()
            async for chunk in response.aiter_raw():  # a small compressed body may have any size
                data += chunk
                if len(data) > MAX_REPLY_BYTES:
                    raise EndpointError("too large", retry=False)
            return bytes(data)
    except httpx2.TimeoutException:
        raise EndpointError("timeout", retry=True) from None
    except (httpx2.HTTPError, httpx2.StreamError, OSError):
        raise EndpointError("no connection", retry=True) from None


def _of_status(status: int, retry_after: str | None) -> EndpointError:
    try:
        wait = None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:  # a date
        wait = None
    return EndpointError(f"http {status}", retry=status in _MAY_PASS or 500 <= status < 600, wait=wait)


def completions_address(url: str) -> str:
    """The address with `/chat/completions` at its end; ValueError for one that is invalid or contains a secret.

    Example:
        >>> completions_address("http://127.0.0.1:8000/v1/")
        'http://127.0.0.1:8000/v1/chat/completions'
    """
    parts = _split(url)
    if "@" in parts.netloc:  # the message must not show a password
        raise ValueError("the endpoint's address must hold no user name or password; use an API key")
    if "?" in url or "#" in url:  # the message must not show a key
        wanted = f"must end with its path, as {_EXAMPLE}: no query (?...) and no fragment (#...)"
        raise ValueError(f"the endpoint's address {wanted}; use an API key and parameters")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the endpoint must be an address like {_EXAMPLE}, got {url!r}")
    if not _is_host(parts.hostname):
        raise ValueError(f"the host of the endpoint's address cannot be, got {url!r}")
    path = url.rstrip("/")
    return path if path.endswith(_COMPLETIONS) else path + _COMPLETIONS


def is_loopback(url: str) -> bool:
    """Whether the address is this machine.

    Example:
        >>> is_loopback("http://localhost:8000/v1"), is_loopback("http://[::1]/v1"), is_loopback("http://10.0.0.1/v1")
        (True, True, False)
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    address = _ip(host)
    return host == "localhost" or host.endswith(".localhost") if address is None else address.is_loopback


def proxy_for(url: str) -> str | None:
    """The proxy for an address from HTTP_PROXY, HTTPS_PROXY or ALL_PROXY.

    None for this machine and for what NO_PROXY names: hosts, domains, networks (10.0.0.0/8) or `*`.
    """
    parts = urlsplit(url)
    proxies = getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(url) or proxy_bypass(parts.netloc):
        return None
    address = _ip(parts.hostname or "")
    if address is not None and any(_is_in(address, name) for name in proxies.get("no", "").split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def shown_proxy(proxy: str) -> str:
    """A proxy's address without its user name and password.

    Example:
        >>> shown_proxy("http://me:secret@proxy.example:3128")
        'http://proxy.example:3128'
    """
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _split(url: str) -> SplitResult:
    wanted = f"the endpoint must be an address like {_EXAMPLE}"
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise ValueError(f"{wanted}, without spaces or invisible characters, got {url!r}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"{wanted}, got {url!r}") from None
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 and "@" not in parts.netloc:
        raise ValueError(f"the port of the endpoint's address must be a number from 1 to 65535, got {url!r}")
    return parts


def _is_host(name: str) -> bool:
    if ":" in name:  # IP version 6; older Pythons' urlsplit does not check it
        return _ip(name) is not None
    try:
        return bool(name.encode("idna"))
    except UnicodeError:  # an empty label (a..b), or one with more than 63 characters
        return False


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, name: str) -> bool:
    try:
        return address in ipaddress.ip_network(name.strip(), strict=False)
    except ValueError:  # a host or a domain
        return False


class Reply(NamedTuple):
    """A model's message."""

    text: str
    cut_off: bool  # at the length limit (`finish_reason` "length")


@dataclass(frozen=True)
class Endpoint:
    """The annotator's address and request. There is no default address, and none is read from the environment.

    Redirects are not followed and cookies not stored. A proxy from the environment (HTTPS_PROXY) is used, except for
    addresses of this machine. `parameters` are further fields of the request, by default greedy decoding with at most
    1,024 tokens.
    """

    url: str  # with http:// or https://, as http://127.0.0.1:8000/v1; /chat/completions is added if it is missing
    model: str  # the model's name on the server
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0, "max_tokens": 1024})
    timeout: float = 120.0  # seconds for a whole exchange, above 0, at most a day
    api_key: str | None = field(default=None, repr=False)  # sent as a bearer token, never shown and never stored
    address: str = field(default="", init=False, repr=False)
    proxy: str | None = field(default=None, init=False, repr=False)
    _context: ssl.SSLContext = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", completions_address(self.url))
        if not self.model:
            raise ValueError("the endpoint's model must have a name, got ''")
        _check_parameters(self.parameters)
        if not (math.isfinite(self.timeout) and 0 < self.timeout <= MAX_TIMEOUT):
            raise ValueError(f"timeout must be above 0 seconds and at most {MAX_TIMEOUT:g}, got {self.timeout}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError("the API key must be of printable ASCII characters")
        object.__setattr__(self, "proxy", proxy_for(self.url))
        object.__setattr__(self, "_context", _context(self.address, self.proxy))

    def ask(self, messages: list[dict[str, str]], stopped: threading.Event | None = None) -> Reply:
        """Send a chat and return the reply; EndpointError without one within `timeout`, or once `stopped` is set.

        It cannot be called within a running event loop, as in a notebook's cell; `annotate` can.
        """
        body = {"model": self.model, "messages": messages, "stream": False, **self.parameters}
        data = json.dumps(body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        return _reply(asyncio.run(_exchange(self, data, headers, stopped)))


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    taken = sorted({"model", "messages", "stream"} & set(parameters))
    if taken:
        raise ValueError(f"parameters may not set {', '.join(taken)}")
    try:
        json.dumps(dict(parameters), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"parameters must be JSON, without NaN and Infinity: {error}") from None


def _context(address: str, proxy: str | None) -> ssl.SSLContext:
    """Slow to make, so once per endpoint; address and proxy are checked before the first request."""
    try:
        import httpx2
    except ImportError as error:
        raise ImportError('the annotator needs httpx2: pip install "meds-rl[eval]"') from error
    context = httpx2.create_ssl_context()
    try:
        httpx2.URL(address)
    except httpx2.InvalidURL as error:
        raise ValueError(f"the endpoint's address cannot be used: {error}") from None
    try:
        httpx2.AsyncClient(verify=context, proxy=proxy, trust_env=False)
    except (ValueError, httpx2.InvalidURL) as error:
        raise ValueError(f"the proxy that the environment names cannot be used: {error}") from None
    return context


def _reply(data: bytes) -> Reply:
    try:
        choice = json.loads(data)["choices"][0]
        content, reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        content = reason = None
    if content is None and reason == "length":  # cut off within thoughts that the server does not send
        content = ""
    if not isinstance(content, str):
        raise EndpointError("not the protocol", retry=True)
    return Reply(content, reason == "length")
