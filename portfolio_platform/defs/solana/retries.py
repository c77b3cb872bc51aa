"""One retry policy for whatever is remote."""

from dagster import Backoff, Jitter, RetryPolicy

REMOTE = RetryPolicy(max_retries=2, delay=2, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)
