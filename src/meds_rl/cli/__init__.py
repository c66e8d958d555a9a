"""The command ``meds``. Arguments are parsed before anything heavy is imported: ``meds --help`` answers at once."""

from meds_rl.cli.main import main

__all__ = ["main"]
