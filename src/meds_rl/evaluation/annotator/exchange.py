"""One HTTP exchange that ends in time, whatever the server does.

The client's own time limits are for each read: a server that drips headers, or says "102 Processing" for ever, holds
them off. So the exchange is a task that is cancelled from outside at its deadline, or when it is to stop, which closes
its connection.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_REPLY_BYTES = 1 << 20
_LOOK_EVERY = 0.1
_WORTH_ANOTHER_TRY = (408, 409, 425, 429)


class EndpointError(Exception):
    """A request that brought no reply.

    Attributes:
        kind: "http 500" and other statuses, "timeout", "no connection", "too large", "not the protocol" or "stopped".
        retry: Whether it may go better another time.
        wait: Seconds that the server asked to wait; None if it did not say.
    """

    def __init__(self, kind: str, *, retry: bool, wait: float | None = None) -> None:
        super().__init__(kind)
        self.kind, self.retry, self.wait = kind, retry, wait


class Request(NamedTuple):
    """What is sent, and how.

    Attributes:
        address: where to.
        body, headers: of the POST request.
        timeout: seconds for the whole exchange.
        proxy: the proxy's address; None for none.
        context: how TLS is done.
    """

    address: str
    body: bytes
    headers: Mapping[str, str]
    timeout: float
    proxy: str | None
    context: ssl.SSLContext


def exchange(request: Request, stopped: threading.Event | None = None) -> bytes:
    """Send a request; the reply's body.

    Args:
        request: What is sent.
        stopped: Set by another thread to give it up at once.

    Raises:
        EndpointError: There is no reply of status 200, or it is too large, or late.
    """
    return asyncio.run(_in_time(request, stopped))


async def _in_time(request: Request, stopped: threading.Event | None) -> bytes:
    deadline = time.monotonic() + request.timeout
    task = asyncio.ensure_future(_sent(request))
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
        task.cancel()  # the event loop waits for its end; a task that is done stays as it is


async def _sent(request: Request) -> bytes:
    import httpx2

    # A client for each exchange: no cookies, no connection that the server has half closed.
    try:
        async with (
            httpx2.AsyncClient(
                verify=request.context,
                proxy=request.proxy,
                timeout=request.timeout,
                trust_env=False,
                follow_redirects=False,
            ) as client,
            client.stream("POST", request.address, content=request.body, headers=request.headers) as response,
        ):
            if response.status_code != 200:
                raise _of_status(response.status_code, response.headers.get("retry-after"))
            return await _body(response)
    except httpx2.TimeoutException:
        raise EndpointError("timeout", retry=True) from None
    except (httpx2.HTTPError, httpx2.StreamError, OSError):
        raise EndpointError("no connection", retry=True) from None


async def _body(response: Any) -> bytes:
    """The body as it comes: compressed ones were not asked for, and a small one may be of any size when undone."""
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > MAX_REPLY_BYTES:
            raise EndpointError("too large", retry=False)
    return bytes(data)


def _of_status(status: int, retry_after: str | None) -> EndpointError:
    try:
        wait = None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:  # a date; the usual backoff will do
        wait = None
    return EndpointError(
        f"http {status}", retry=status in _WORTH_ANOTHER_TRY or 500 <= status < 600, wait=wait
    )
