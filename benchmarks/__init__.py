"""The budgets, measured: ``python -m benchmarks [name…] [--full] [--json FILE]``."""
