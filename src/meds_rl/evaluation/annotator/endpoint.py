"""An OpenAI-compatible endpoint: POST /chat/completions, and nothing else.

Not the `openai` package: that reads its address, organisation, project and further headers from the environment and
sends them along, follows redirects and retries without telling. httpx2 is what the `openai` package itself stands on.
"""

import json
import math
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meds_rl.evaluation.annotator.address import completions_address, proxy_for
from meds_rl.evaluation.annotator.exchange import EndpointError, Request, exchange

MAX_TIMEOUT = 86_400.0
"""Seconds: a day."""


class Reply(NamedTuple):
    """What a model said.

    Attributes:
        text: of the message.
        cut_off: whether it was cut off at the length limit (`finish_reason` "length").
    """

    text: str
    cut_off: bool


@dataclass(frozen=True)
class Endpoint:
    """Where the annotator is, and how it is asked. There is no default address, and none is read from the environment.

    Redirects are not followed and cookies not kept. A proxy of the environment (HTTPS_PROXY) is used but for addresses
    of this machine; it is looked up once.

    Args:
        url: With http:// or https://, as `http://127.0.0.1:8000/v1`; `/chat/completions` is added where it is missing.
        model: The name by which the server knows the model.
        parameters: Further fields of the request. Greedy decoding, at most 1,024 tokens, by default.
        timeout: Seconds for a whole exchange, above 0, at most a day.
        api_key: Sent as a bearer token; None sends none. It is never shown and never stored.

    Raises:
        ImportError: httpx2 is missing, or what it needs for a proxy.
        ValueError: An address that cannot be (`completions_address`); no model; a parameter that is a field of the
            request itself or no JSON; a key that cannot be sent; or a time out of range.
    """

    url: str
    model: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0, "max_tokens": 1024})
    timeout: float = 120.0
    api_key: str | None = field(default=None, repr=False)
    address: str = field(default="", init=False, repr=False)
    proxy: str | None = field(default=None, init=False, repr=False)
    _context: ssl.SSLContext = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", completions_address(self.url))
        if not self.model:
            raise ValueError("the endpoint's model must have a name, got ''")
        _check_parameters(self.parameters)
        if not (math.isfinite(self.timeout) and 0 < self.timeout <= MAX_TIMEOUT):
            raise ValueError(
                f"timeout must be above 0 seconds and at most {MAX_TIMEOUT:g}, got {self.timeout}"
            )
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError("the API key must be of printable ASCII characters")
        object.__setattr__(self, "proxy", proxy_for(self.url))
        object.__setattr__(self, "_context", _context(self.address, self.proxy))

    def ask(self, messages: list[dict[str, str]], stopped: threading.Event | None = None) -> Reply:
        """Send messages; the reply.

        Args:
            messages: the chat.
            stopped: set by another thread to give up at once.

        Raises:
            EndpointError: There is none, within `timeout`.
            RuntimeError: Called within a running event loop, as in a notebook's cell; `annotate` may be.
        """
        body = {"model": self.model, "messages": messages, "stream": False, **self.parameters}
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        data = json.dumps(body, allow_nan=False).encode()
        request = Request(self.address, data, headers, self.timeout, self.proxy, self._context)
        return _reply(exchange(request, stopped))


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    taken = sorted({"model", "messages", "stream"} & set(parameters))
    if taken:
        raise ValueError(f"parameters may not set {', '.join(taken)}")
    try:
        json.dumps(dict(parameters), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"parameters must be JSON, without NaN and Infinity: {error}") from None


def _context(address: str, proxy: str | None) -> ssl.SSLContext:
    """Made once, which takes some hundredths of a second. What the client cannot use is told here, not when asking."""
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
    if content is None and reason == "length":  # cut off in thoughts that the server keeps to itself
        content = ""
    if not isinstance(content, str):
        raise EndpointError("not the protocol", retry=True)
    return Reply(content, reason == "length")
