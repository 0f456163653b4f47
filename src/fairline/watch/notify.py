"""Turn scans and alarms into messages in the outbox, with the state that alert rules keep."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import polars as pl

from fairline.market.labels import page_address
from fairline.market.listing import Listing
from fairline.pricing.holdings import Holdings
from fairline.scanner import Evaluation
from fairline.store.datasets import EDGES
from fairline.watch.alerts import Changes, Key, Rule, Section, Tracked, compose, decide, delay_reason
from fairline.watch.holdings import decide_faded, faded_rows, state_name, without_held
from fairline.watch.recorder import find_departures
from fairline.watch.state import State

log = logging.getLogger("fairline.watch")

_TITLES = {
    "data markets": "unreadable markets",
    "data listing": "the listing is too small",
    "data series": "no series",
    "data events": "missing events",
    "data fees": "missing fee terms",
    "data books": "unreadable order books",
    "data settlements": "unreadable settlements",
    "outage": "no complete scan",
    "paused": "the exchange is paused",
    "refused": "the exchange denies access",
    "clock": "the system clock is wrong",
    "disk": "the disk is almost full",
    "store": "cannot write to the store",
    "feed": "the live feed fails",
}


class Notifier:
    """Decides after each scan what to report, and puts it into the outbox. Raises `StoreError`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._payouts_u: dict[str, int] = {}
        self._logged: dict[str, str] = {}

    def unsettled_tickers(self, rules: Sequence[Rule]) -> list[str]:
        """Return the markets that were reported and whose settlement was not."""
        return self._state.unsettled_tickers(rule.name for rule in rules)

    def add_settlements(self, settlements: pl.DataFrame, rules: Sequence[Rule]) -> None:
        """Remember the payouts of markets that were reported."""
        paid = dict(settlements.drop_nulls("payout_u").select("ticker", "payout_u").iter_rows())
        wanted = set(self.unsettled_tickers(rules))
        self._payouts_u = {t: payout_u for t, payout_u in (self._payouts_u | paid).items() if t in wanted}

    def process_scan(
        self,
        listing: Listing,
        evaluation: Evaluation,
        silent: Collection[str],
        *,
        rules: Sequence[Rule],
        receivers: Iterable[str],
        now: datetime,
        holdings: Holdings | None = None,
    ) -> None:
        """Apply all rules to a scan. `silent` models gave no answer in it.

        What is held is not reported as an opportunity; it is reported once its believed edge is gone.
        """
        held = faded_rows(holdings, listing, evaluation) if holdings is not None else None
        followed = self._state.followed_tickers()
        tickers = {*evaluation.opportunities["ticker"], *self._payouts_u}
        for rule in rules:
            tracked = self._state.read_tracked(rule.name, tickers)
            gone = _find_gone(tracked, listing, evaluation, silent)
            if held is not None:
                # First, because a message lists only its first changes.
                self._apply_faded(rule, held, now)
            rows = evaluation.unproven if rule.section is Section.UNPROVEN else evaluation.opportunities
            linked = without_held(rows, holdings).with_columns(url=page_address(listing.exchange))
            self._apply(rule, Changes(linked, gone, self._payouts_u, now), tracked, followed)
            self._send(rule, receivers, now)

    def process_outage(self, rules: Sequence[Rule], receivers: Iterable[str], now: datetime) -> None:
        """Without a scan: report settlements, and send what has waited long enough."""
        no_opportunities = EDGES.to_frame()
        for rule in rules:
            changes = Changes(no_opportunities, {}, self._payouts_u, now)
            self._apply(rule, changes, self._state.read_tracked(rule.name, self._payouts_u), [])
            self._send(rule, receivers, now)

    def update_alarms(self, current: dict[str, str], receivers: Iterable[str], now: datetime) -> None:
        """Report alarms that are new, and those that are over."""
        active = self._state.alarms()
        for name, text in current.items():
            if name not in active:
                if self._logged.get(name) != text:
                    log.error("alarm: %s", text)
                self._logged[name] = text
                self._state.raise_alarm(name, text, receivers, (f"Fairline: {_TITLES.get(name, name)}", text), now)
        for name, (since, text) in active.items():
            if name not in current:
                self._logged.pop(name, None)
                log.warning("resolved: %s", text)
                body = f"Resolved at {now:%H:%M} UTC, after {_format_duration(now - since)}: {text}"
                self._state.clear_alarm(name, receivers, (f"Fairline: resolved ({name})", body), now)

    def _apply(self, rule: Rule, changes: Changes, tracked: dict[Key, Tracked], followed: list[str]) -> None:
        items, updates = decide(rule, changes, tracked, followed)
        if items or updates:
            self._state.save_decision(rule.name, items, updates, changes.now)

    def _apply_faded(self, rule: Rule, held: pl.DataFrame, now: datetime) -> None:
        name = state_name(rule.name)
        items, updates = decide_faded(held, self._state.read_tracked(name, held["ticker"]), now)
        wanted = [item for item in items if item.kind in rule.on]
        if wanted:
            self._state.save_decision(rule.name, wanted, [], now)
        if updates:
            self._state.save_decision(name, [], updates, now)

    def _send(self, rule: Rule, receivers: Iterable[str], now: datetime) -> None:
        """Put the pending items into one message, unless they have to wait."""
        numbers, items, oldest = self._state.pending_items(rule.name)
        to = rule.to or tuple(receivers)
        if oldest is None or not to:
            return  # without receivers, items wait a week for one
        note = f"held:{rule.name}"
        reason = delay_reason(rule, oldest, self._state.sent_times(rule.name, now - timedelta(hours=1)), now)
        previous = self._state.get_note(note)
        if not reason:
            self._state.enqueue(rule.name, to, compose(rule, items, previous), now, numbers)
        if reason != previous:
            self._state.set_note(note, reason)


def _find_gone(
    tracked: dict[Key, Tracked], listing: Listing, evaluation: Evaluation, silent: Collection[str]
) -> dict[Key, str]:
    """Return the tracked opportunities that are gone, and why."""
    schema = {"ticker": pl.String, "side": pl.String, "model": pl.String}
    keys = pl.DataFrame(list(tracked), schema=schema, orient="row")
    departures = find_departures(keys, listing, evaluation, silent)
    return {(ticker, side, model): reason for ticker, side, model, reason in departures.iter_rows()}


def _format_duration(duration: timedelta) -> str:
    minutes = duration.total_seconds() / 60
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{duration.total_seconds():.0f} seconds"
