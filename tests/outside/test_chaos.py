"""The three laws, on every answer, while everything fails that can: see `chaos.py`."""

import os
import time

import pytest
from chaos import Chaos

# `CHAOS_SEED` tells another story, `CHAOS_MINUTES` plays on with one seed after the other.
SEED = int(os.environ.get("CHAOS_SEED", "1"))
MINUTES = float(os.environ.get("CHAOS_MINUTES", "0"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60 + 300)
def test_the_laws_hold_in_chaos():
    ending, seed = time.monotonic() + MINUTES * 60, SEED
    while True:
        run = Chaos(seed, SECONDS).run()
        print(run.report())
        assert not run.violations, f"{run.report()}\n\n" + "\n\n".join(run.violations)
        seed += 1
        if time.monotonic() >= ending:
            return
