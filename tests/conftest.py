"""What all tests share: nothing fails because the machine has other things to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
TOGETHER = {**dict.fromkeys(("emulate", "live", "record", "running"), "host"), "site": "site"}
"""Folders whose tests run one at a time: they look at the processes and VMs of the machine, or they
share a site that takes long to build.
"""

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.hookimpl(tryfirst=True)  # xdist looks for groups next
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side (`pytest -n`) a worker takes a whole file, or all that goes together."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        path = item.path.relative_to(HERE)
        item.add_marker(pytest.mark.xdist_group(TOGETHER.get(path.parts[0], str(path))))
