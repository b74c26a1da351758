"""A local cloud: AWS Lambda durable functions and what stands around them, on 127.0.0.1.

The harness and its users start it with `harness.localcloud.handle.LocalCloud`; ``python -m harness.localcloud`` serves
it in the foreground. Nothing else in here is public.
"""
