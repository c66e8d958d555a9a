"""Write the fixtures whose programs were not run, in the form of their sources. The completions are those of `trl/`.

python tests/rollouts/dumps/make_by_hand.py prime_rl        # where verifiers 0.4.0, pandas and pyarrow are installed
python tests/rollouts/dumps/make_by_hand.py prime_rl_06     # pandas and pyarrow
python tests/rollouts/dumps/make_by_hand.py lighteval_old   # pandas and pyarrow
python tests/rollouts/dumps/make_by_hand.py verl_old        # in the environment of `make test-verl`
"""

import json
import re
import shutil
import sys
import uuid
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent


def rollouts() -> pd.DataFrame:
    """`prompt`, `completion`, `step`, `answer` (the reference) and `boxed` (the model's, or None), from `trl/`."""
    files = sorted((HERE / "trl" / "completions").glob("*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)
    table["answer"] = [str(eval(re.fullmatch(r"what is (.*)\?", prompt)[1])) for prompt in table["prompt"]]
    table["boxed"] = [(re.findall(r"\\boxed\{([^{}]*)\}", text) or [None])[-1] for text in table["completion"]]
    return table


def groups(table: pd.DataFrame, step: int, size: int) -> pd.DataFrame:
    """The first `size` completions of three prompts, the last an easy one, at a step."""
    rows = table[table["step"] == step]
    kept = rows["prompt"].isin(["what is 9 * 3 - 6 * 2?", "what is 7 - 4 * 5 + 3?", "what is 5 * 4 + 8 + 6?"])
    return rows[kept].groupby("prompt", sort=False).head(size).sort_values("prompt", kind="stable")


def fresh(name: str) -> Path:
    shutil.rmtree(HERE / name, ignore_errors=True)
    (HERE / name).mkdir()
    return HERE / name


def identifier(*words: object) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, " ".join(map(str, words))).hex


def prime_rl() -> None:
    """prime-rl v0.7 on, after src/prime_rl/monitors/file.py of v0.8.1.dev67: verifiers' own `Episode.to_record()`.

    `all` has a failure without a trace at each step, and a tool call in one rollout of each group. `effective` has the
    groups whose rewards differ.
    """
    import verifiers.v1 as vf
    from verifiers.v1.configs.agent import WireAgentConfig
    from verifiers.v1.episode import EnvInfo, GroupInfo, PolicySpan, TrainRunInfo, TrainWorkInfo
    from verifiers.v1.graph import MessageNode
    from verifiers.v1.task import WireTaskData
    from verifiers.v1.trace import AgentInfo, Error, Reward, TraceTask
    from verifiers.v1.types import AssistantMessage, ToolCall, ToolMessage, UserMessage

    def nodes(row, *, tool: bool):
        messages = [(UserMessage(content=row.prompt), False)]
        if tool:
            call = ToolCall(id="call_0", name="calculator", arguments='{"expression": "2 * 8"}')
            messages += [(AssistantMessage(content=None, tool_calls=[call]), True)]
            messages += [(ToolMessage(tool_call_id="call_0", content="16"), False)]
        messages += [(AssistantMessage(content=row.completion), True)]
        return [
            MessageNode(
                parent=place - 1 if place else None,
                message=message,
                sampled=sampled,
                token_ids=[5, 6, 7],
                mask=[sampled] * 3,
                logprobs=[-0.5, -0.25, -0.125] if sampled else [],
                advantages=[0.5, 0.5, 0.5] if sampled else None,
                timestamp=0.0,
            )
            for place, (message, sampled) in enumerate(messages)
        ]

    def episode(step: int, row, k: int, *, failed: bool = False):
        data = WireTaskData(idx=0, prompt=row.prompt, answer=row.answer)
        task = TraceTask(type="PocketTask", data=data, key=identifier(row.prompt), hash=identifier(row.prompt))
        run = TrainRunInfo(
            id="run", name="pocket", work=TrainWorkInfo(step=step, policy=PolicySpan(start=step - 1, end=step - 1))
        )
        trace = vf.Trace(
            id=identifier("trace", step, row.prompt, k),
            task=task,
            agent=AgentInfo(config=WireAgentConfig(model="pocket-stuck")),
            nodes=nodes(row, tool=k == 3),
            rewards={
                "correct_answer": Reward(score=float(row.answer == row.boxed)),
                "has_box": Reward(score=float(row.boxed is not None), weight=0.1),
            },
            metrics={"length": float(len(row.completion))},
            is_completed=True,
            ok=True,
            stop_condition="agent_completed",
        )
        return vf.Episode(
            id=identifier("episode", step, row.prompt, k),
            env=EnvInfo(id="pocket_v04", name="pocket"),
            task=task,
            group=GroupInfo(id=identifier("group", step, row.prompt)),
            run=run,
            ok=not failed,
            errors=[Error(type="EnvError", message="the sandbox did not start")] if failed else [],
            traces=[] if failed else [trace],
        )

    folder, table = fresh("prime_rl"), rollouts()
    for step in (1, 2):
        rows = groups(table, step, size=5)
        episodes = [
            episode(step, row, k) for _, group in rows.groupby("prompt") for k, row in enumerate(group.itertuples())
        ]
        lost = episode(step, next(rows.itertuples()), 99, failed=True)
        by_group: dict[str, set[float]] = {}
        for e in episodes:
            by_group.setdefault(e.group.id, set()).add(e.traces[0].reward)
        kept = [e for e in episodes if len(by_group[e.group.id]) > 1]
        for subset, cohort in (("all", [lost, *episodes]), ("effective", kept)):
            path = folder / "rollouts" / f"step_{step}" / "train" / subset / "traces.jsonl"
            path.parent.mkdir(parents=True)
            lines = [json.dumps(e.to_record(), default=str, separators=(",", ":"), ensure_ascii=False) for e in cohort]
            path.write_text("".join(line + "\n" for line in lines))


def prime_rl_06() -> None:
    """prime-rl v0.6.0, after save_rollouts and FinishedRollout.to_dict in src/prime_rl/orchestrator."""
    folder, table = fresh("prime_rl_06"), rollouts()
    for step in (1, 2):
        rows, lines = groups(table, step, size=8), []
        for number, (prompt, group) in enumerate(rows.groupby("prompt")):
            for k, row in enumerate(group.itertuples()):
                correct, box = float(row.answer == row.boxed), float(row.boxed is not None)
                record = {
                    "example_id": number,
                    "task": "pocket",
                    "prompt": [{"role": "user", "content": prompt}],
                    "completion": [{"role": "assistant", "content": row.completion, "tool_calls": None}],
                    "answer": row.answer,
                    "info": {"source": "pocket"},
                    "reward": correct + 0.1 * box,
                    "error": None,
                    "timing": {"total": 1.5, "generation": {"duration": 1.25}, "scoring": {"duration": 0.25}},
                    "is_completed": True,
                    "is_truncated": not box,
                    "stop_condition": "max_turns_reached",
                    "metrics": {"correct_answer": correct, "has_box": box},
                    "tool_defs": [],
                    "token_usage": {"input_tokens": 10.0, "output_tokens": 40.0},
                    "correct_answer": correct,
                    "has_box": box,
                    "env_name": "pocket",
                    "group_id": str(uuid.UUID(identifier("group", step, prompt))),
                    "policy_version": step - 1,
                    "off_policy_steps": 0,
                    "rollout_id": str(uuid.UUID(identifier("rollout", step, prompt, k))),
                    "advantage": 0.0,
                    "is_filtered": False,
                    "filters": {"gibberish": False, "repetition": False},
                }
                lines.append(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")
        path = folder / "rollouts" / f"step_{step}" / "train_rollouts.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(lines))


def lighteval_old() -> None:
    """lighteval 0.9 and before, after DetailsLogger.Detail in src/lighteval/logging/info_loggers.py of 0.8.1."""
    folder, rows = fresh("lighteval_old"), []
    for prompt, group in rollouts().groupby("prompt"):
        group, answer = group.head(12), group["answer"].iloc[0]
        rows.append(
            {
                "choices": [answer],
                "cont_tokens": [[1, 2, 3]] * len(group),
                "example": prompt,
                "full_prompt": prompt,
                "gold": [answer],
                "gold_index": [0],
                "input_tokens": [[4, 5, 6]],
                "instruction": "",
                "metrics": {"extractive_match": float((group["boxed"] == answer).any())},
                "num_asked_few_shots": 0,
                "num_effective_few_shots": 0,
                "padded": [0],
                "pred_logits": [],
                "prediction_logits": [],
                "predictions": group["completion"].tolist(),
                "specifics": {"extracted_golds": [answer], "extracted_predictions": group["boxed"].dropna().tolist()},
                "truncated": [0],
            }
        )
    date = "2025-03-01T10-00-00.000000"
    target = folder / "details" / "stuck-0" / date
    target.mkdir(parents=True)
    # The program writes "|" where this name has "_".
    pd.DataFrame(rows).to_parquet(target / f"details_community_pocket_0_0_{date}.parquet", index=False)


def verl_old() -> None:
    """verl's older trainer (`trainer.use_v1=False`, and 0.6 to 0.8): its own writer and math_dapo, without a run."""
    from verl.trainer.ppo.ray_trainer import RayPPOTrainer
    from verl.utils.reward_score import default_compute_score

    folder, table = fresh("verl_old"), rollouts()
    for step in (1, 2):
        rows = table[table["step"] == step]
        # Balanced over ranks by length: the rows of a prompt do not follow each other.
        rows = rows.sort_values("completion", key=lambda text: text.str.len(), kind="stable")
        results = [default_compute_score("math_dapo", row.completion, row.answer) for row in rows.itertuples()]
        RayPPOTrainer._write_generations(
            inputs=[f"user\n{prompt}\nassistant\n" for prompt in rows["prompt"]],
            outputs=rows["completion"].tolist(),
            gts=rows["answer"].tolist(),
            scores=[result["score"] for result in results],
            reward_extra_infos_dict={key: [result[key] for result in results] for key in ("score", "acc", "pred")},
            dump_path=str(folder),
            global_steps=step,
        )


if __name__ == "__main__":
    {f.__name__: f for f in (prime_rl, prime_rl_06, lighteval_old, verl_old)}[sys.argv[1]]()
