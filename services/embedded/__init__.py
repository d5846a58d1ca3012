"""PostgreSQL, Redis and worker processes on this machine, from wheels, in one folder.

``with embedded.stack(settings) as endpoints:`` is all that most callers need.
"""

from services.embedded.endpoints import Endpoints
from services.embedded.lifecycle import stack

__all__ = ["Endpoints", "stack"]
