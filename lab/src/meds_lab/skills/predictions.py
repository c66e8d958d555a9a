"""What each method of compare-skills.yaml should find, by simulation (`meds_lab.theory.bandit`), before the grid runs.

    python -m meds_lab.skills.predictions --output lab/evidence/skills-predictions.json

The simulated learning rate matches that of lab/recipes/skills.yaml. There, the advantage A of one completion moves its
rule's logit by rate |h|^2 A / T, with h the features of the skill (|h|^2 = 185) and T the tokens of a batch
(224 x 18.2). In the simulation it moves the logit by lr A / G. Each method is simulated on the four kinds of hard
skills; its share found is the mean over them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meds_lab.theory.bandit import Arm, Regime, Setting, simulate
from meds_rl.files import write_atomically
from meds_rl.shaping.advantage import f_grpo_advantages, maxrl_advantages, pass_at_k_advantages

RATE = 8 * 17 * 185 / (224 * 18.2)
"""Learning rate of the simulation, `Setting.lr`."""

REGIMES = {6: Regime(0.84, 6, lam=0.96), 30: Regime(0.3, 30, zipf=1.0, lam=0.96)}
"""Number of rare wrong rules -> regime. Lambda is .96, as in the pilot."""

ARMS: dict[str, tuple[Arm, Arm]] = {
    "none": (Arm(), Arm()),
    "memory": (Arm("memory"), Arm("memory")),
    "batch": (Arm("batch", 1.7), Arm("batch", 1.7)),
    "answers": (Arm("memory"), Arm("answers")),
    "replay": (Arm(recall=True), Arm(recall=True)),
    "recall": (Arm("memory", recall=True), Arm("memory", recall=True)),
    "batch-same-alpha": (Arm("batch"), Arm("batch")),
    "names": (Arm("memory"), Arm("memory")),
    "random": (Arm("random"), Arm("random")),
    "surprisal": (Arm("surprisal", 0.7), Arm("surprisal", 0.7)),
    "larger-rate": (Arm(), Arm()),
    "maxrl": (Arm(advantage=maxrl_advantages),) * 2,
    "f-grpo": (Arm(advantage=f_grpo_advantages),) * 2,
    "pass-at-k": (Arm(advantage=pass_at_k_advantages),) * 2,
}
"""Method -> its arm where answers tell, and where they do not."""


def found_shares(method: str, num_replicates: int) -> dict[str, float]:
    """Share found on each kind of skill, such as "6 tells" and "30 does not tell"."""
    setting = Setting(RATE * (1.5 if method == "larger-rate" else 1.0))
    return {
        f"{rare} {'tells' if tells else 'does not tell'}": simulate(regime, arm, setting, num_replicates).found
        for rare, regime in REGIMES.items()
        for tells, arm in zip((True, False), ARMS[method], strict=True)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate all methods, print a table, and write method -> multiplier."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file: method -> multiplier")
    parser.add_argument("--replicates", type=int, default=10_000, help="simulated skills of each kind (default: 10000)")
    parsed = parser.parse_args(arguments)
    shares = {method: found_shares(method, parsed.replicates) for method in ARMS}
    kinds = list(shares["none"])
    print("| method | found | multiplier | " + " | ".join(kinds) + " |")
    print("| :-- | --: | --: |" + " --: |" * len(kinds))
    base = math.log1p(-float(np.mean(list(shares["none"].values()))))
    multipliers = {}
    for method, by_kind in shares.items():
        found = float(np.mean(list(by_kind.values())))
        multipliers[method] = round(math.log1p(-found) / base, 3)
        cells = " | ".join(f"{share:.3f}" for share in by_kind.values())
        print(f"| {method} | {found:.3f} | {multipliers[method]:.2f} | {cells} |")
    if parsed.output is not None:
        write_atomically(parsed.output, (json.dumps(multipliers, indent=2) + "\n").encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
