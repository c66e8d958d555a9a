"""An OpenAI-compatible server on this machine that answers with the completions of `trl/`, prompt by prompt, in order.

python tests/rollouts/dumps/serve_completions.py 8765    # pandas and pyarrow are needed
"""

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent


def completions() -> dict[str, itertools.cycle]:
    files = sorted((HERE / "trl" / "completions").glob("*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in files])
    return {prompt: itertools.cycle(group["completion"]) for prompt, group in table.groupby("prompt")}


class Handler(BaseHTTPRequestHandler):
    by_prompt = completions()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = next(message["content"] for message in reversed(request["messages"]) if message["role"] == "user")
        prompt = content if isinstance(content, str) else content[0]["text"]
        message = {"role": "assistant", "content": next(self.by_prompt[prompt])}
        body = json.dumps(
            {
                "id": "stub",
                "object": "chat.completion",
                "created": 0,
                "model": request["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 40, "total_tokens": 50},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
