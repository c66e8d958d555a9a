"""``python -m meds_rl.engines.verl``."""

from meds_rl.engines.verl.main import main

if __name__ == "__main__":
    main()
