"""The private parts behind `harness.durable`, which is where to import from."""
