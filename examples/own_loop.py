"""Train in a loop of your own, in plain torch, with a memory of mistakes: python examples/own_loop.py"""

import torch

from meds_rl import RepeatedErrorPenalty
from meds_rl.cli import main as meds
from meds_rl.fingerprint import extract_answer
from meds_rl.shaping import group_advantages
from meds_rl.tasks.models import load_language_model

SUMS = {"7 + 3 * 4 - 2": 17, "9 - 2 * 6 + 8": 5, "5 + 8 * 3 - 6": 23, "4 + 6 * 7 - 9": 37}
SUMS |= {"3 * 4 + 7 - 2": 17, "2 * 9 - 5 + 4": 17, "6 * 5 - 8 - 3": 19, "8 + 7 - 3 + 5": 17}
results = {f"what is {text}?": str(result) for text, result in SUMS.items()}
prompts = [prompt for prompt in results for _ in range(8)]  # groups of 8 completions

torch.manual_seed(0)
model, tokenizer = load_language_model("pocket", device="cpu")  # in the package; yours: "Qwen/Qwen3-1.7B"
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
start = inputs["input_ids"].shape[1]
# The column "right" says which completions are mistakes. Equal steps of the working are the same mistake.
penalty = RepeatedErrorPenalty("right", alpha=0.1, fingerprint="steps", all_wrong="shape", folder="runs/own_loop")

for step in range(15):
    tokens = model.generate(**inputs, do_sample=True, max_new_tokens=64)
    texts = tokenizer.batch_decode(tokens[:, start:], skip_special_tokens=True)
    right = [float(extract_answer(text) == results[prompt]) for prompt, text in zip(prompts, texts)]
    penalties = penalty(prompts, texts, right=right)  # 0 or below: counts earlier batches, then remembers this one
    rewards = [reward + (minus or 0.0) for reward, minus in zip(right, penalties)]
    advantages = torch.tensor(group_advantages(rewards, group_size=8))[:, None]

    mask = (tokens != tokenizer.pad_token_id).long()
    logits = model(tokens, attention_mask=mask).logits[:, start - 1 : -1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, start:], reduction="none")
    loss = (advantages * losses * mask[:, start:]).sum() / mask[:, start:].sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step:2}: {sum(right):2.0f} of {len(right)} right, {sum(map(bool, penalties)):2} penalised")
meds(["report", "runs/own_loop"])
