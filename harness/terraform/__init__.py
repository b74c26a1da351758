"""Terraform, driven so that nothing it creates can be lost.

From the bottom up: `hcl` reads what modules declare, `stage` copies them, `executable` finds Terraform, `providers` and
`compat` decide which provider runs, `process` runs a command, `driver` is python-terraform's `Terraform` on top of it,
`template` initialises by cloning, and `project` is one working directory with its verbs.
"""
