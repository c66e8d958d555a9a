"""The presets as fields of ``MEDSConfig``. A field that a preset sets has the default ``None`` there."""

from collections.abc import Mapping
from typing import Any

from meds_rl.engines import settings as presets


def _field(setting: str) -> str:
    return setting if setting == "fingerprint" else f"meds_{setting}"


PRESETS: dict[str, Mapping[str, Any]] = {
    name: {**{_field(setting): value for setting, value in preset.items()}, "fingerprint_from": "policy"}
    for name, preset in presets.PRESETS.items()
}
"""By preset: field -> value. All presets set the same fields."""
