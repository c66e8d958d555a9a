"""The scripts of this folder import programs that the tests' environment does not have; they are not collected."""

from pathlib import Path

collect_ignore = [path.name for path in Path(__file__).parent.glob("*.py")]
