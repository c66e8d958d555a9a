"""``python -m meds_lab.tasks.programs``."""

from meds_lab.tasks.programs.warmup import main

if __name__ == "__main__":
    raise SystemExit(main())
