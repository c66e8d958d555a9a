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
        "anneal": [1.0, 1.0],
    },
    # What this project takes instead (docs/evidence.md): it reads the working, knows a new error when it comes, acts
    # where nothing is right yet, goes on telling often made errors from very often made ones, and ends before training
    # does, so that the last third learns from the plain reward.
    "recommended": {
        **_PUBLISHED,
        "fingerprint": "working_states",
        "cluster_selection_epsilon": 0.2,
        "max_distance": 0.25,
        "all_wrong": "center",
        "alpha": 0.1,
        "beta": 2.0,
        "anneal": [0.333, 0.666],
    },
}
"""By preset: setting of the memory -> value. All presets set the same settings."""

ADVANTAGE: dict[str, Mapping[str, Any]] = {
    "paper": {"entropy_advantage": False, "scale_rewards": "group"},
    "recommended": {"entropy_advantage": True, "scale_rewards": "none"},
}
"""By preset: how MEDS makes advantages of shaped rewards.

That is whether it adds the entropy advantage, and whether rewards less the group's mean are divided by its deviation
("group") or not ("none"). What each is worth: docs/evidence.md.
"""
