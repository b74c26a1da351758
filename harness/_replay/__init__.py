"""What `harness.replay` is made of; import from there."""
