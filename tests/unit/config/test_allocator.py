"""Freed memory goes back to the system early, unless the user decided otherwise."""

import os

from fairline.config.allocator import return_memory_early


def test_memory_is_returned_early(monkeypatch):
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "")
    monkeypatch.delenv("_RJEM_MALLOC_CONF")
    return_memory_early()
    assert os.environ["_RJEM_MALLOC_CONF"].startswith("dirty_decay_ms:50")


def test_the_users_own_setting_stays(monkeypatch):
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "dirty_decay_ms:7")
    return_memory_early()
    assert os.environ["_RJEM_MALLOC_CONF"] == "dirty_decay_ms:7"
