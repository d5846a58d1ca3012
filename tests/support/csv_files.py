"""CSV files for tests."""

import csv
from pathlib import Path


def write_csv(path: Path, columns: tuple[str, ...], lines: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)
