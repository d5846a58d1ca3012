"""The roles of the database, by their names; what each may do is in migration 0018."""

from typing import Final

OWNER: Final = "tubegrader"
"""Of the embedded database: it makes tables. Elsewhere it is called as its address says."""
APP: Final = "tubegrader_app"
"""What runs all day: it reads and writes rows, and cannot change what a table is."""
ANALYST: Final = "tubegrader_analyst"
"""Who asks: it may read what analysts are told of."""
