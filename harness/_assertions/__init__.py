"""The private parts behind `harness.assertions`, which is where to import from."""
