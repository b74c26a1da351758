"""Measurements whose figures are in the docs; each says how it is run."""
