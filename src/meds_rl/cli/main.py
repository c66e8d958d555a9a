"""Parses the command line and calls the subcommand."""

import argparse
import contextlib
import importlib.metadata
import io
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from meds_rl import __version__
from meds_rl.cli import data, demo, diversity, inspect, report, train, watch
from meds_rl.cli import eval as evaluation
from meds_rl.report.text import printable

COMMANDS = {
    "train": (train, "train a model from a recipe"),
    "demo": (demo, "train the pocket model with DAPO and with MEDS and compare"),
    "eval": (evaluation, "measure a model: pass@k and maj@k with intervals"),
    "diversity": (diversity, "measure how varied completions are, and how clusters agree with labels"),
    "inspect": (inspect, "show what is in a run's memory"),
    "report": (report, "write one HTML page of what runs kept getting wrong"),
    "watch": (watch, "show a run live in the terminal while it trains"),
    "data": (data, "write the paper's training data in one format"),
}

END_AT_ONCE = ("train", "demo", "eval")
"""Subcommands that have no temporary folders, and that end at once when the process is asked to."""

EXPECTED = (ValueError, TypeError, OSError, ImportError, OverflowError, RecursionError, MemoryError)
"""What bad input raises; of anything else the traceback is shown."""

RUNS_ON = ("numpy", "torch", "transformers", "trl", "verl", "vllm")
"""Packages whose versions a bug report needs, as far as they are installed."""

FULL_DISK = ("No space left on device", "inline_container.cc")
"""In the errors of safetensors and of torch, which are no OSErrors."""


LONGEST_SENTENCE = 2000
"""Characters of an error that is printed."""

_EXTRAS = {"inspect": "report", "report": "report", "watch": "report", "diversity": "eval", "eval": "eval"}
"""The extra of the package that has what a subcommand imports; of the others it is trl."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``meds``; returns the exit status: 0 done, 2 bad input or a full disk (one sentence on standard error)."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest and args.command != "train":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.overrides = rest
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal or a pipe that cannot show all characters
    with contextlib.nullcontext() if args.command in END_AT_ONCE else ended_by_signals():
        return exit_status(f"meds {args.command}", lambda: COMMANDS[args.command][0].run(args))


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """End by an exception when the process is asked to end or its terminal is closed, so that temporary folders go."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    is_main = threading.current_thread() is threading.main_thread()
    numbers = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if name in signal.Signals.__members__]
    free = [number for number in numbers if is_main and signal.getsignal(number) == signal.SIG_DFL]  # not under nohup
    for number in free:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def exit_status(name: str, run: Callable[[], int]) -> int:
    """Run a subcommand: its own status, 2 for bad input or a full disk (with one sentence), 130 for Ctrl-C."""
    try:
        return int(run())
    except Exception as error:
        expected = isinstance(error, EXPECTED) or any(words in str(error) for words in FULL_DISK)
        if os.environ.get("MEDS_TRACEBACK") or not expected:
            raise
        print(f"{name}: {printable(_sentence(error, name))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{name}: stopped.", file=sys.stderr)
        return 130


def _sentence(error: Exception, name: str) -> str:
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get(name.removeprefix("meds "), "trl")
        return _in_a_clone(f'{error}. {name} needs: pip install "meds-rl[{extra}]"')
    if isinstance(error, ImportError):
        return _in_a_clone(str(error))
    if "inline_container.cc" in str(error):  # torch.save: "[enforce fail at inline_container.cc:672]"
        return f"a file cannot be written; the disk may be full ({error})"
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({str(error) or 'nothing says for what'})"
    text = str(error) or type(error).__name__
    if len(text) > LONGEST_SENTENCE:  # a path or a value may be of any length
        text = f"{text[: LONGEST_SENTENCE // 2]} … {text[-LONGEST_SENTENCE // 2 :]}"
    return text


class _Version(argparse.Action):
    """Prints the versions of meds-rl, Python and what it runs on. Argparse's own would join the lines."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"meds-rl {__version__}\nPython {platform.python_version()} on {platform.platform()}")
        for name in RUNS_ON:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                print(name, importlib.metadata.version(name))
        parser.exit()


def _in_a_clone(text: str) -> str:
    """A text that names an extra of the package on PyPI, with the command for a clone."""
    return re.sub(r'pip install "meds-rl(\[\w+\])"', r'\g<0> (in a clone: pip install -e ".\1")', text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meds",
        description="See which mistakes a language model repeats in reinforcement learning, and train with a memory of "
        "them (MEDS).",
        epilog="Set MEDS_TRACEBACK=1 to see the whole traceback of an error.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the versions, for a bug report, and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=summary, description=module.__doc__))
    return parser
