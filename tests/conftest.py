"""What all tests share: nothing fails because the machine has other things to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
ON_THE_HOST = {"emulate", "live", "record", "running"}
"""Folders of tests that look at the processes and VMs of the machine: one at a time."""

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side (`pytest -n`) a worker takes a whole file, and one of them all of the host's."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        path = item.path.relative_to(HERE)
        group = "host" if path.parts[0] in ON_THE_HOST else str(path)
        item.add_marker(pytest.mark.xdist_group(group))
