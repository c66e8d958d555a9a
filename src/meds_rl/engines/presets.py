"""Named sets of defaults: what a setting is where nobody says what it should be. A value given explicitly wins."""

from collections.abc import Mapping
from typing import Any

_PUBLISHED: Mapping[str, Any] = {
    "target": "wrong",
    "scope": "prompt",
    "penalty_form": "log",
    "clustering": "hdbscan",
}

PRESETS: dict[str, Mapping[str, Any]] = {
    # As published and released.
    "paper": {
        **_PUBLISHED,
        "fingerprint": "layer_logits",
        "cluster_selection_epsilon": 0.0,
        "max_distance": None,
        "all_wrong": "skip",
        "alpha": 0.1,
        "beta": 0.2,
    },
    # What this project takes instead (docs/evidence.md): it reads the working, knows a new error when it comes, acts
    # where nothing is right yet, and goes on telling often made errors from very often made ones.
    "recommended": {
        **_PUBLISHED,
        "fingerprint": "working_states",
        "cluster_selection_epsilon": 0.2,
        "max_distance": 0.25,
        "all_wrong": "center",
        "alpha": 0.1,
        "beta": 2.0,
    },
}
"""By preset: setting of the memory -> value. All presets set the same settings."""

ENTROPY_ADVANTAGE: dict[str, bool] = {"paper": False, "recommended": True}
"""By preset: whether MEDS adds the entropy advantage to the memory. What each of the two is worth: docs/evidence.md."""
