"""Champions and challengers: which models are in use, what decides it, what is known of them."""
