"""boto3 clients as the harness needs them.

botocore by itself sends three requests on a throttle before its caller sees one; backing off is `harness.waiters`'s
work here, so every client is made with exactly one attempt unless its maker wants otherwise.
https://docs.aws.amazon.com/boto3/latest/guide/retries.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

USER_AGENT_EXTRA = "durable-functions-harness"


def client_config(
    *,
    read_timeout: float = 60.0,
    connect_timeout: float = 10.0,
    pool: int = 32,
    endpoint_url: str | None = None,
    attempts: int = 1,
) -> Config:
    """The botocore configuration of every client that the harness makes.

    Args:
        read_timeout: Seconds without a byte before a request fails. A synchronous invoke needs more than the
            function's own timeout.
        connect_timeout: Seconds to connect.
        pool: Connections kept per client, which is shared by threads.
        endpoint_url: The client's endpoint, None for AWS's own.
        attempts: Requests that botocore itself sends for a call at most; more than one only where no policy of
            `harness.waiters` stands around the calls.
    """
    return Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        read_timeout=read_timeout,
        connect_timeout=connect_timeout,
        max_pool_connections=pool,
        user_agent_extra=USER_AGENT_EXTRA,
        # A proxy can't reach this machine's loopback interface, and botocore would send it there all the same.
        proxies={} if endpoint_url and _is_loopback(endpoint_url) else None,
    )


def make_client(
    service: str,
    *,
    session: boto3.Session,
    endpoint_url: str | None = None,
    read_timeout: float = 60.0,
    attempts: int = 1,
) -> Any:
    """A client of ``service``, which doesn't retry by itself unless ``attempts`` says so.

    Args:
        service: boto3's name of the service.
        session: Where credentials and region come from.
        endpoint_url: Another endpoint than AWS's own, such as the local cloud's.
        read_timeout: Seconds, see `client_config`.
        attempts: See `client_config`.
    """
    # boto3-stubs types each service by its literal name; a name known only at run time can't choose one.
    factory: Any = session.client
    config = client_config(read_timeout=read_timeout, endpoint_url=endpoint_url, attempts=attempts)
    return factory(service, endpoint_url=endpoint_url, config=config)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
