"""Shared by all HTTP doors: API keys, limits, idempotency, request bodies and problem responses."""
