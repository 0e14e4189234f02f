"""What all tests share: nothing fails because the machine has other things to do."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

TOGETHER = {**dict.fromkeys(("emulate", "live", "record", "running"), "host"), "site": "site"}
"""Folders whose tests run one at a time: they look at the processes and VMs of the machine, or they
share a site that takes long to build.
"""

SPREAD = "tests/test_growth.py"
"""A file whose tests share nothing, and take longer than those of any other."""

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job; what the tests start would ignore interrupts too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Side by side (`pytest -n`) a worker takes a whole file, or all that goes together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByPlace(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return nodeid if path == SPREAD else TOGETHER.get(path.split("/")[1], path)

    return ByPlace(config, log)
