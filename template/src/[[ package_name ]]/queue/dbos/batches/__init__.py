"""Tasks that can wait, at about half the price: their model calls go through the provider's batch API."""
