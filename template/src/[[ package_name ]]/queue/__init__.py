"""The queue: durable tasks. Each takes the same path as a request, and survives whatever happens to its worker."""
