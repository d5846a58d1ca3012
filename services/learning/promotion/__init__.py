"""Champions and challengers: which models are in use, what decides it, and what is told of it."""
