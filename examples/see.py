"""See which mistakes a policy repeats, in rollouts that a trainer saved: python examples/see.py"""

from meds_rl import rollouts
from meds_rl.cli import main as meds
from meds_rl.fingerprint.steps import read_steps

# What TRL wrote with log_completions=True: 8 prompts, 6 batches. Name your own file or folder. Of a plain table, say
# which columns it has: rollouts.read("mine.jsonl", {"prompt": "question", "completion": "response", "reward": "score"})
SAVED = "tests/rollouts/dumps/trl/completions"

table = rollouts.read(SAVED)
print(*table.attrs["source"], sep="\n")

# The most frequent wrong answers.
wrong = table[~table["is_correct"]]
print(wrong[["prompt", "answer"]].value_counts().head(6))

# The steps of the workings. a, b, c: the prompt's numbers; ∘: its sign. So one mistake shows in many prompts.
readings = [read_steps(prompt, completion) for prompt, completion in zip(wrong["prompt"], wrong["completion"])]
wrong = wrong.assign(steps=[reading.shape if reading else "none" for reading in readings])
prompts = wrong.groupby("steps")["prompt"].agg(["count", "nunique"])
print(prompts.set_axis(["times", "prompts"], axis=1).sort_values("times", ascending=False).head(6))

# All of it, and more, as a page for the browser. In a shell: meds report PATH --output runs/see.html
meds(["report", SAVED, "--output", "runs/see.html"])
