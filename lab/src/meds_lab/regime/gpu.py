"""On one GPU, in eight minutes: 512 samples of each problem, then ten updates with each of five methods.

Every method starts from the sampled policy and trains on the same hard problems, of which few samples are right, but at
least one. The measure is the change of the policy's log-probability of texts that were sampled before training:

- right, trained on: right completions of the problems that are trained on.
- right, held out: right completions of equally hard problems that are not trained on.
- habit: completions with the most frequent error of the problems that are trained on.
- right, easy: right completions of the easiest problems, which are not trained on.

Each stage has a time limit, and `gpu.json` has what was finished in it. Run the script again to continue.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from meds_lab.regime.figures import GROUP, RIGHT, Sampled, sampled
from meds_lab.regime.problems import SETTINGS, problems
from meds_lab.regime.sampling import ROUND, SamplingPlan, SharedPromptEngine, read_rounds, sample
from meds_lab.rivals import trainer_of
from meds_rl.engines.trl import MEDSConfig
from meds_rl.evaluation.intervals import bootstrap_ratio
from meds_rl.evaluation.problems import Problem, problems_of, select
from meds_rl.evaluation.sampling import SamplingSettings
from meds_rl.files import write_atomically
from meds_rl.memory.memory import compile_kernels
from meds_rl.tasks import load_task
from meds_rl.tasks.grader import Grader
from meds_rl.tasks.models import load_language_model

SECONDS = 440.0
"""Time limit of the whole script without its imports, for which the rest of eight minutes is left."""

RESULTS = "gpu.json"
LEARNING_RATE = 2e-5
COUNTED: dict[str, Any] = {"fingerprint": "steps", "meds_max_distance": 0.0}


class Arm(NamedTuple):
    """A method: a rival of the lab (None: the library's trainer), its options, and fields of `MEDSConfig`."""

    rival: str | None
    options: Mapping[str, Any]
    fields: Mapping[str, Any]


ARMS = {
    "none": Arm("count", {}, COUNTED | {"meds_alpha": 0.0}),
    # With 1.6 and .7 times the memory's alpha, batch counts and surprisal have its contrast of habit to rare errors.
    "batch counts": Arm("batch_memory", {"clustering": "count"}, COUNTED | {"meds_alpha": 0.16}),
    "memory": Arm("count", {}, COUNTED),
    "surprisal": Arm("surprisal", {}, COUNTED | {"meds_alpha": 0.07}),
    "recall": Arm("count", {}, COUNTED | {"meds_recall": 4}),
}


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        model: as `load_language_model` names it.
        plan: what is sampled.
        samples: of each problem.
        trained: the largest number of problems to train on; as many are held out, and as many are easy.
        texts: the largest number of completions of a problem and kind whose log-probability is measured.
        updates: of each method.
        rows: completions in one forward, of the update and of the measurement.
        share_of_sampling: fraction of `seconds` for sampling.
        seconds: time limit of everything.
    """

    model: str
    plan: SamplingPlan
    samples: int
    trained: int = 32
    texts: int = 4
    updates: int = 10
    rows: int = 64
    share_of_sampling: float = 0.35
    seconds: float = SECONDS


def full_scale() -> Scale:
    """SmolLM2, 128 problems, 512 samples."""
    return Scale("smollm2", SamplingPlan(problems(), SETTINGS, chunk=64 * ROUND), samples=8 * ROUND)


def dry_scale() -> Scale:
    """The pocket model on a CPU: all stages in a minute."""
    task = load_task("pocket", train_hard=24, train_easy=4, test_hard=0, test_easy=0)
    plan = SamplingPlan(select(problems_of(task)), SamplingSettings(96), round_size=32, chunk=256)
    return Scale("pocket", plan, samples=64, trained=2, texts=2, updates=2, rows=16)


# ---- Stages.


def run(folder: Path, scale: Scale) -> dict[str, Any]:
    """Sample, train every method, and write `gpu.json` after each; returns its content."""
    end = time.monotonic() + scale.seconds
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    compile_kernels()  # otherwise in the first method's time
    model, tokenizer = load_language_model(scale.model, device=device, dtype="float32")
    finished = sample_in_time(model, tokenizer, scale, folder, end - scale.seconds * (1 - scale.share_of_sampling))
    rows = read_rounds(folder).to_pylist()
    chosen = choose(sampled(rows), scale.trained)
    texts = texts_of(rows, chosen, tokenizer, scale)
    path = folder / RESULTS
    results = json.loads(path.read_text("utf-8")) if path.is_file() else {"arms": {}}
    results |= {"model": scale.model, "device": device, "samples": finished * scale.plan.round_size}
    results |= {"problems": chosen._asdict(), "texts": {kind: len(found) for kind, found in texts.items()}}
    setup = Setup(
        model, tokenizer, scale, [one for one in scale.plan.problems if one.row["prompt_id"] in chosen.trained], texts
    )
    todo = [name for name in ARMS if results["arms"].get(name, {}).get("updates") != scale.updates]
    for left, name in zip(range(len(todo), 0, -1), todo, strict=True):
        now = time.monotonic()
        results["arms"][name] = train(ARMS[name], setup, deadline=now + (end - now) / left)
        write_atomically(path, json.dumps(results, indent=1).encode())
    return results


def sample_in_time(model: Any, tokenizer: Any, scale: Scale, folder: Path, deadline: float) -> int:
    """Sample rounds as long as the next one should end before the deadline; the first one always runs."""
    policy = copy.deepcopy(model).to(torch.bfloat16) if model.device.type == "cuda" else model
    started: list[float] = []

    def go_on(number: int) -> bool:
        started.append(time.monotonic())
        longest = max(np.diff(started), default=0.0)
        return number == 0 or time.monotonic() + longest < deadline

    engine = SharedPromptEngine(policy, tokenizer)
    return sample(engine, scale.plan, folder, num_samples=scale.samples, go_on=go_on)


class Chosen(NamedTuple):
    """Ids of problems."""

    trained: list[str]
    held_out: list[str]
    easy: list[str]


def choose(found: Sequence[Sampled], most: int) -> Chosen:
    """The hardest problems, alternately to train on and to hold out, and the easiest ones.

    Problems without a right sample are left out, as they have no right text to measure.

    Raises:
        ValueError: fewer than three problems have a right sample.
    """
    solved = sorted((one for one in found if one.is_correct.any()), key=lambda one: one.is_correct.mean())
    size = min(most, len(solved) // 3)
    if size < 1:
        raise ValueError(f"three problems need a right sample; {len(solved)} have one. Sample more.")
    ids = [one.problem_id for one in solved]
    return Chosen(ids[0 : 2 * size : 2], ids[1 : 2 * size : 2], ids[-size:])


class Text(NamedTuple):
    """A completion whose log-probability is measured."""

    problem: str
    prompt_ids: list[int]
    completion_ids: list[int]


def texts_of(rows: Sequence[Mapping[str, Any]], chosen: Chosen, tokenizer: Any, scale: Scale) -> dict[str, list[Text]]:
    """Kind -> different finished completions, at most `scale.texts` of a problem."""
    samples: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        samples.setdefault(row["problem_id"], []).append(row)
    engine = SharedPromptEngine(None, tokenizer)
    prompts = {one.row["prompt_id"]: engine.encode(one.row["prompt"]) for one in scale.plan.problems}

    def of(ids: Sequence[str], wanted: Callable[[Sequence[Mapping[str, Any]]], Sequence[str]]) -> list[Text]:
        return [
            Text(one, prompts[one], [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id])
            for one in ids
            for text in list(dict.fromkeys(wanted(samples[one])))[: scale.texts]
        ]

    return {
        "right, trained on": of(chosen.trained, _right),
        "right, held out": of(chosen.held_out, _right),
        "habit": of(chosen.trained, _habit),
        "right, easy": of(chosen.easy, _right),
    }


def _right(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["completion"] for row in rows if row["is_correct"] and row["finished"]]


def _habit(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    modes = sampled(rows)[0].modes["steps"]
    if (modes == RIGHT).all():
        return []
    habit = np.bincount(modes[modes != RIGHT]).argmax()
    return [row["completion"] for row, mode in zip(rows, modes, strict=True) if mode == habit and row["finished"]]


# ---- Training.


@dataclass
class Watch(TrainerCallback):
    """Measures before training and after every second update, and ends training at the deadline.

    Attributes:
        measure: model -> kind -> problem -> log-probability.
        deadline: in seconds of the monotonic clock.
        found: update -> the result of `measure`.
    """

    measure: Callable[[Any], dict[str, dict[str, float]]]
    deadline: float
    found: dict[int, dict[str, dict[str, float]]] = field(default_factory=dict)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Measure the policy before its first update."""
        self.found[0] = self.measure(model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Measure, or stop."""
        late = time.monotonic() > self.deadline
        if state.global_step % 2 == 0 or state.global_step == state.max_steps or late:
            self.found[state.global_step] = self.measure(model)
        control.should_training_stop |= late


@dataclass(frozen=True)
class Setup:
    """What all methods share.

    Attributes:
        model: the policy before training, in float32; each method trains a copy.
        tokenizer: its tokenizer.
        scale: see `Scale`.
        trained: the problems that are trained on.
        texts: kind -> texts whose log-probability is measured.
    """

    model: Any
    tokenizer: Any
    scale: Scale
    trained: Sequence[Problem]
    texts: Mapping[str, Sequence[Text]]

    def measure(self, policy: Any) -> dict[str, dict[str, float]]:
        """Kind -> problem -> the mean of its texts' log-probabilities."""
        temperature, pad = self.scale.plan.settings.temperature, self.tokenizer.pad_token_id
        rows = self.scale.rows
        return {kind: by_problem(texts, policy, temperature, pad, rows) for kind, texts in self.texts.items()}


def train(arm: Arm, setup: Setup, *, deadline: float) -> dict[str, Any]:
    """One method's result. If its training fails, the result has the error, so that the other methods still run."""
    watch, start = Watch(setup.measure, deadline), time.monotonic()
    try:
        with ExitStack() as stack:
            reward = Accuracy(setup.trained, stack)
            args = config(arm, setup.scale, len(setup.trained), stack.enter_context(TemporaryDirectory()))
            make, policy = trainer_of(arm.rival, arm.options), copy.deepcopy(setup.model)
            trainer = make(policy, reward, args, reward.dataset(), processing_class=setup.tokenizer)
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(watch)
            trainer.train()
    except (TypeError, ValueError, RuntimeError) as error:
        return {"error": f"{type(error).__name__}: {error}", "updates": 0}
    logs = trainer.state.log_history
    return {
        "updates": max(watch.found),
        "seconds": round(time.monotonic() - start, 1),
        "right": [one["rewards/accuracy/mean"] for one in logs if "rewards/accuracy/mean" in one],
        "found": {str(step): one for step, one in watch.found.items()},
    }


def config(arm: Arm, scale: Scale, num_problems: int, output_dir: str) -> MEDSConfig:
    """All problems in every update, alpha constant, and no entropy advantage."""
    size = num_problems * GROUP
    rows = next(rows for rows in range(min(scale.rows, size), 0, -1) if size % rows == 0)
    on_gpu = torch.cuda.is_available()
    fields: dict[str, Any] = {
        "output_dir": output_dir,
        "method": "meds",
        "preset": "recommended",
        "meds_anneal": [1.0, 1.0],
        "entropy_advantage": 0.0,
        "dynamic_sampling": False,
        "overlong_buffer": 0,
        "num_generations": GROUP,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": size // rows,
        "max_completion_length": scale.plan.settings.max_new_tokens,
        "temperature": scale.plan.settings.temperature,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "max_steps": scale.updates,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "log_rollouts": False,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "use_cpu": not on_gpu,
        "bf16": on_gpu,
    }
    return MEDSConfig(**(fields | dict(arm.fields)))


class Accuracy:
    """The reward: 1 if the problem's own task calls a completion right, else 0.

    Args:
        problems: of one or several tasks.
        stack: closes the graders, which have processes of their own.
    """

    __name__ = "accuracy"

    def __init__(self, problems: Sequence[Problem], stack: ExitStack) -> None:
        self.problems = {problem.row["prompt_id"]: problem for problem in problems}
        sources = dict.fromkeys(problem.source for problem in problems)
        self.graders = {source: stack.enter_context(Grader.of(source.task)) for source in sources}

    def dataset(self) -> Dataset:
        """The prompts and their ids."""
        rows = [{name: one.row[name] for name in ("prompt", "prompt_id")} for one in self.problems.values()]
        return Dataset.from_list(rows)

    def __call__(self, completions: Sequence[Any], prompt_id: Sequence[str], **_: Any) -> list[float]:
        """See TRL's reward functions."""
        texts = [one if isinstance(one, str) else one[-1]["content"] for one in completions]
        asked = [self.problems[one] for one in prompt_id]
        rewards = [0.0] * len(texts)
        for source, grader in self.graders.items():
            places = [place for place, problem in enumerate(asked) if problem.source is source]
            verdicts = grader([(texts[place], asked[place].row) for place in places]) if places else ()
            for place, verdict in zip(places, verdicts, strict=True):
                rewards[place] = float(bool(verdict))
        return rewards


# ---- Log-probabilities.


def by_problem(
    texts: Sequence[Text], model: Any, temperature: float, pad_token_id: int, batch_size: int
) -> dict[str, float]:
    """Problem -> the mean of its texts' log-probabilities (nats, summed over tokens)."""
    values = log_probabilities(texts, model, temperature, pad_token_id, batch_size)
    found: dict[str, list[float]] = {}
    for text, value in zip(texts, values, strict=True):
        found.setdefault(text.problem, []).append(value)
    return {problem: float(np.mean(of_problem)) for problem, of_problem in found.items()}


@torch.no_grad()
def log_probabilities(
    texts: Sequence[Text], model: Any, temperature: float, pad_token_id: int, batch_size: int
) -> list[float]:
    """Of each completion after its prompt, at the temperature of sampling."""
    was_training = model.training
    model.eval()
    values: list[float] = []
    for start in range(0, len(texts), batch_size):
        values += _of_batch(texts[start : start + batch_size], model, temperature, pad_token_id)
    model.train(was_training)
    return values


def _of_batch(texts: Sequence[Text], model: Any, temperature: float, pad_token_id: int) -> list[float]:
    rows = [torch.tensor([*one.prompt_ids, *one.completion_ids]) for one in texts]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad_token_id).to(model.device)
    lengths = torch.tensor([[len(one.prompt_ids), len(row)] for one, row in zip(texts, rows, strict=True)])
    columns = torch.arange(ids.size(1))
    is_completion = (columns >= lengths[:, :1]) & (columns < lengths[:, 1:])
    mask = (columns < lengths[:, 1:]).long().to(model.device)
    first = int(lengths[:, 0].min())  # no completion begins before, so these large logits are not needed
    keep = ids.size(1) - first + 1
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=keep).logits[:, :-1].float() / temperature
    chosen = logits.gather(2, ids[:, first:, None]).squeeze(2) - logits.logsumexp(2)
    total: list[float] = (chosen * is_completion[:, first:].to(model.device)).sum(1).tolist()
    return total


# ---- What came out.


def summary(results: Mapping[str, Any]) -> str:
    """Markdown: each method's changes of log-probability up to the last update that all have, with intervals.

    A second table has the paired differences to the first method, problem by problem.
    """
    arms = {name: arm for name, arm in results["arms"].items() if "found" in arm}
    lines = [f"{name}: {arm['error']}" for name, arm in results["arms"].items() if "error" in arm]
    shared = set.intersection(*(set(arm["found"]) for arm in arms.values())) if arms else set()
    if not arms or shared <= {"0"}:
        return "\n".join([*lines, "No update was finished."]) + "\n"
    last, kinds = max(shared, key=int), list(results["texts"])
    changes = {
        name: {kind: _less(arm["found"][last][kind], arm["found"]["0"][kind]) for kind in kinds}
        for name, arm in arms.items()
    }
    first, *others = changes
    less = {name: {kind: _less(changes[name][kind], changes[first][kind]) for kind in kinds} for name in others}
    lines += [f"After {last} updates; samples of each problem: {results['samples']}", "", *_table(changes, kinds)]
    if others:
        lines += ["", f"Less `{first}`:", "", *_table(less, kinds)]
    return "\n".join(lines) + "\n"


def _less(values: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    return {problem: value - others[problem] for problem, value in values.items()}


def _table(by_arm: Mapping[str, Mapping[str, Mapping[str, float]]], kinds: Sequence[str]) -> list[str]:
    lines = [f"| method | {' | '.join(kinds)} |", f"| {' | '.join(['---'] * (1 + len(kinds)))} |"]
    return lines + [f"| {name} | {' | '.join(_mean(one[kind]) for kind in kinds)} |" for name, one in by_arm.items()]


def _mean(values: Mapping[str, float]) -> str:
    """The mean over problems with its interval."""
    if not values:
        return "no text"
    [found] = bootstrap_ratio(list(values.values()), 1.0, np.random.default_rng(0))
    interval = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:+.2f}{interval}"
