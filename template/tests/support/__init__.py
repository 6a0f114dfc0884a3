"""Test support: services, upstreams, stores and brokers as real processes."""
