"""Which of the models that were compared is the best one."""

from collections.abc import Mapping
from typing import Any


def best_of(compared: Mapping[str, Any]) -> str:
    """Return the name with the highest balanced accuracy, of equal ones the first by name.

    Args:
        compared: What a comparison recorded of each: ``balanced_accuracy`` with its ``value``.
    """
    return max(
        sorted(compared), key=lambda name: float(compared[name]["balanced_accuracy"]["value"])
    )
