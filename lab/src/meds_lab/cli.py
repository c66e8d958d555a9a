"""Parses the command line of ``meds-lab`` and calls the subcommand."""

import argparse
from collections.abc import Sequence

from meds_lab import train
from meds_lab.compare import command as compare
from meds_lab.tasks import command as pocket
from meds_rl import __version__
from meds_rl.cli.main import exit_status

COMMANDS = {
    "compare": (compare, "train a grid of methods, tasks, checkpoints and seeds, and compare in pairs"),
    "train": (train, "train one recipe, also with a rival or a starting policy of the lab"),
    "pocket": (pocket, "train a pocket model from random weights, or look at one"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``meds-lab``; returns the exit status: 0 done, 2 bad input (one sentence on standard error)."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest and args.command != "train":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.overrides = rest
    return exit_status(f"meds-lab {args.command}", lambda: COMMANDS[args.command][0].run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meds-lab",
        description="Tests the method of meds-rl: rivals, controls, comparisons in pairs.",
        epilog="Set MEDS_TRACEBACK=1 to see the whole traceback of an error.",
    )
    parser.add_argument("--version", action="version", version=f"meds-lab {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=summary, description=module.__doc__))
    return parser
