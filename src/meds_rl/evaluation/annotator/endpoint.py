"""An OpenAI-compatible endpoint: POST /chat/completions, and nothing else.

Not the `openai` package: that reads its address, organisation, project and further headers from the environment and
sends them along, follows redirects and retries without telling. httpx2 is what the `openai` package itself stands on.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

MAX_REPLY_BYTES = 1 << 20
_WORTH_ANOTHER_TRY = (408, 409, 425, 429)


class EndpointError(Exception):
    """A request that brought no reply.

    Attributes:
        kind: "http 500" and other statuses, "timeout", "no connection", "too large" or "not the protocol".
        retry: Whether it may go better another time.
        wait: Seconds that the server asked to wait; None if it did not say.
    """

    def __init__(self, kind: str, *, retry: bool, wait: float | None = None) -> None:
        super().__init__(kind)
        self.kind, self.retry, self.wait = kind, retry, wait


@dataclass(frozen=True)
class Endpoint:
    """Where the annotator is, and how it is asked. There is no default address, and none is read from the environment.

    Redirects are not followed. A proxy of the environment (HTTPS_PROXY) is used as by any other program.

    Args:
        url: With http:// or https://, as `http://127.0.0.1:8000/v1`; `/chat/completions` is added where it is missing.
        model: The name by which the server knows the model.
        parameters: Further fields of the request. Greedy decoding, at most 1,024 tokens, by default.
        timeout: Seconds for a whole request, above 0.
        api_key: Sent as a bearer token; None sends none. It is never shown and never stored.

    Raises:
        ImportError: httpx2 is missing.
        ValueError: An address without http(s):// or host, or with a user name or password in it; no model; a
            parameter that is a field of the request itself; or no time.
    """

    url: str
    model: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0, "max_tokens": 1024})
    timeout: float = 120.0
    api_key: str | None = field(default=None, repr=False)
    _client: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:  # not shown: it holds a password
            raise ValueError("the endpoint's address must hold no user name or password; use an API key")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"the endpoint must be an address like http://127.0.0.1:8000/v1, got {self.url!r}"
            )
        if not self.model:
            raise ValueError("the endpoint's model must have a name, got ''")
        taken = sorted({"model", "messages", "stream"} & set(self.parameters))
        if taken:
            raise ValueError(f"parameters may not set {', '.join(taken)}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, got {self.timeout}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError("the API key must be of printable ASCII characters")
        object.__setattr__(self, "_client", self._connect())

    @property
    def address(self) -> str:
        """The address that requests go to."""
        path = self.url.rstrip("/")
        return path if path.endswith("/chat/completions") else f"{path}/chat/completions"

    def ask(self, messages: list[dict[str, str]]) -> str:
        """Send messages; the reply's text.

        Raises:
            EndpointError: There is none.
        """
        import httpx2

        body = {"model": self.model, "messages": messages, "stream": False, **self.parameters}
        headers = {"Content-Type": "application/json"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            with self._client.stream(
                "POST", self.address, content=json.dumps(body), headers=headers
            ) as response:
                if response.status_code != 200:
                    raise _of_status(response.status_code, response.headers.get("retry-after"))
                data = self._read(response)
        except httpx2.TimeoutException:
            raise EndpointError("timeout", retry=True) from None
        except (httpx2.HTTPError, httpx2.StreamError):
            raise EndpointError("no connection", retry=True) from None
        return _text(data)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _connect(self) -> Any:
        try:
            import httpx2
        except ImportError as error:
            raise ImportError('the annotator needs httpx2: pip install "meds-rl[eval]"') from error
        return httpx2.Client(timeout=self.timeout, follow_redirects=False)

    def _read(self, response: Any) -> bytes:
        """The body, in time and of bearable size: a server may drip bytes for ever, or send without end."""
        deadline = time.monotonic() + self.timeout
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > MAX_REPLY_BYTES:
                raise EndpointError("too large", retry=False)
            if time.monotonic() > deadline:
                raise EndpointError("timeout", retry=True)
        return bytes(data)


def _of_status(status: int, retry_after: str | None) -> EndpointError:
    try:
        wait = None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:  # a date; the usual backoff will do
        wait = None
    return EndpointError(
        f"http {status}", retry=status in _WORTH_ANOTHER_TRY or 500 <= status < 600, wait=wait
    )


def _text(data: bytes) -> str:
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        content = None
    if not isinstance(content, str):
        raise EndpointError("not the protocol", retry=True)
    return content
