"""What the tests stand on: services, upstreams, stores and brokers as real processes."""
