"""Speech: which language is spoken, learned from what was collected and labelled, and judged."""

from typing import Final

TASK: Final = "language"
"""What the database calls it, in datasets and models."""
