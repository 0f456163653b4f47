"""How the data-frame library's allocator returns memory; must be set before that library is imported."""

import os

RETURN_AFTER_MS = 50
"""Polars' jemalloc holds freed memory for ten seconds by default, which is a whole scan."""


def return_memory_early() -> None:
    """Let freed memory go back to the system soon, unless the user has configured the allocator.

    A scan of 117,000 markets peaks 50 MB lower, at the same CPU time.
    """
    os.environ.setdefault("_RJEM_MALLOC_CONF", f"dirty_decay_ms:{RETURN_AFTER_MS},muzzy_decay_ms:0")
