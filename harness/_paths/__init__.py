"""What `harness.paths` is made of; import from there."""
