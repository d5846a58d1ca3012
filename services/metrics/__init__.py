"""What a process counts of its own work, and how Prometheus reads it (docs/operations/watching.md).

``instruments`` declares everything that is counted; nothing is, and nothing is imported, until
``serving`` switches it on.
"""
