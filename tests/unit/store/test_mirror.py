"""The private copy of an account's history."""

import pytest

from fairline.errors import StoreError
from fairline.kalshi.portfolio import AccountRecords
from fairline.kalshi.portfolio_wire import Fill, Transfer
from fairline.store.mirror import AccountMirror

FILL = Fill(fill_id="f", ticker="KXT-1-A", outcome_side="no", legacy_count=3, legacy_yes_price=40)


def test_what_was_kept_is_read_again_and_only_its_owner_may_read_it(tmp_path):
    mirror = AccountMirror(tmp_path / "account", "demo", "key", 0)
    assert mirror.load() is None
    mirror.save(AccountRecords(fills=[FILL], deposits=[Transfer(id="d", amount_cents=5)]))
    known = mirror.load()
    assert (known.fills, known.deposits) == ([FILL], [Transfer(id="d", amount_cents=5)])
    assert mirror.path.stat().st_mode & 0o777 == 0o600
    assert "key" not in mirror.path.name


def test_accounts_of_other_keys_exchanges_and_subaccounts_have_files_of_their_own(tmp_path):
    paths = {AccountMirror(tmp_path, exchange, key, number).path
             for exchange in ("demo", "production") for key in ("a", "b") for number in (0, 1)}  # fmt: skip
    assert len(paths) == 8


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"version": 2}', b"\xff"])
def test_a_damaged_mirror_is_refused_with_a_way_out(tmp_path, content):
    mirror = AccountMirror(tmp_path, "demo", "key", 0)
    mirror.path.write_bytes(content)
    with pytest.raises(StoreError, match="Move it away"):
        mirror.load()


def test_a_mirror_of_another_exchange_is_refused(tmp_path):
    mirror = AccountMirror(tmp_path, "demo", "key", 0)
    mirror.save(AccountRecords())
    mirror.path.rename(AccountMirror(tmp_path, "production", "key", 0).path)
    with pytest.raises(StoreError, match="another exchange"):
        AccountMirror(tmp_path, "production", "key", 0).load()
