"""``python -m meds_lab`` is the command ``meds-lab``."""

import sys

from meds_lab.cli import main

sys.exit(main())
