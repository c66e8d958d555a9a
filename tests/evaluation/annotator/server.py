"""A server of the chat completions protocol in this process, which misbehaves as told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Reply:
    """What the server does with a request: a status, headers, and a body in pieces, a pause before each."""

    def __init__(self, body: Any, status=200, headers=(), pause=0.0, pieces=1):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        size = -(-len(data) // pieces) or 1
        self.pieces = [data[i : i + size] for i in range(0, len(data), size)]
        self.status, self.headers, self.pause, self.length = status, dict(headers), pause, len(data)


def said(text: Any) -> Reply:
    """A reply of the protocol."""
    return Reply({"choices": [{"message": {"role": "assistant", "content": text}}]})


class Server:
    """Its address, and the requests that it got: (path, headers, body)."""

    def __init__(self, url: str):
        self.url, self.requests = url, []

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for _, _, body in self.requests]


@contextmanager
def serving(answer: Callable[[dict, int], Reply]) -> Iterator[Server]:
    """``answer`` gets a request's body and its number, from 0."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(server.requests)
                server.requests.append((self.path, dict(self.headers), body))
            try:
                self.reply(answer(body, number))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client had enough

        def reply(self, reply: Reply):
            time.sleep(reply.pause)
            self.send_response(reply.status)
            for name, value in {"Content-Length": reply.length, **reply.headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            for piece in reply.pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(reply.pause)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
