"""Adapters to training engines. Each is thin: the method itself lives in :mod:`meds_rl.shaping`."""
