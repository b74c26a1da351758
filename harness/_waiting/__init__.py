"""The private parts behind `harness.waiters`, which is where to import from."""
