"""``python -m meds_rl`` is the command ``meds``."""

import sys

from meds_rl.cli import main

sys.exit(main())
