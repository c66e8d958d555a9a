"""Tests and the processes they start import modules of this folder by name; those are not collected as tests."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent

sys.path.append(str(FOLDER))
collect_ignore = [path.name for path in FOLDER.glob("*.py") if not path.name.startswith("test_")]
