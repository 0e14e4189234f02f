"""numpy, or how to get it.  The only place that imports it."""

from __future__ import annotations

from ..errors import ExtraMissingError

try:
    import numpy as np
except ImportError as error:
    raise ExtraMissingError("numpy", "arrays") from error

__all__ = ["np"]
