"""The pocket task as an environment of verifiers 0.4: `vf-eval pocket_v04`, see `make_verifiers.py`."""

import re

import httpx
import verifiers.v1 as vf

# Five prompts of `trl/` and their answers.
PROBLEMS = {
    "what is 9 * 3 - 6 * 2?": "15",
    "what is 3 + 7 * 6 - 2?": "43",
    "what is 7 - 4 * 5 + 3?": "-10",
    "what is 7 - 3 * 8 - 6?": "-23",
    "what is 5 * 4 + 8 + 6?": "34",
}


class PocketData(vf.TaskData):
    answer: str


class PocketTask(vf.Task[PocketData]):
    def _boxed(self, trace: vf.Trace) -> list[str]:
        return re.findall(r"\\boxed\{([^{}]*)\}", trace.nodes[-1].message.content or "")

    @vf.reward(weight=1.0)
    async def correct_answer(self, trace: vf.Trace) -> float:
        return float(self._boxed(trace)[-1:] == [self.data.answer])

    @vf.reward(weight=0.1)
    async def has_box(self, trace: vf.Trace) -> float:
        return float(bool(self._boxed(trace)))

    @vf.metric
    async def length(self, trace: vf.Trace) -> float:
        return float(len(trace.nodes[-1].message.content or ""))


class PocketTaskset(vf.Taskset[PocketTask, vf.TasksetConfig]):
    def load(self) -> list[PocketTask]:
        return [
            PocketTask(PocketData(prompt=prompt, answer=answer), self.config.task)
            for prompt, answer in PROBLEMS.items()
        ]


class OneCallConfig(vf.HarnessConfig):
    """No settings."""


class OneCallHarness(vf.Harness[OneCallConfig]):
    """Asks the model once, from this process. The harnesses of verifiers start a program of their own."""

    NEEDS_CONTAINER = False
    EXECUTES_CODE = False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data, tool_interception_url=None):
        body = {"model": ctx.model, "messages": [{"role": "user", "content": data.prompt}]}
        async with httpx.AsyncClient(timeout=60) as client:
            headers = {"Authorization": f"Bearer {secret}"}
            answer = await client.post(f"{endpoint}/chat/completions", json=body, headers=headers)
        answer.raise_for_status()
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")


__all__ = ["OneCallHarness", "PocketTaskset"]
