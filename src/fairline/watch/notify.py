"""From what happened to what is in the outbox: rules and alarms, with the state that they keep."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import polars as pl

from fairline.market.listing import Listing
from fairline.scanner import Evaluation
from fairline.store.datasets import EDGES
from fairline.watch.alerts import Happened, Key, Rule, Told, compose, decide, hold
from fairline.watch.recorder import departures
from fairline.watch.state import State

log = logging.getLogger("fairline.watch")

_WORDS = {
    "blind": "Fairline is blind",
    "paused": "The exchange is paused",
    "refused": "The exchange refuses to answer",
    "clock": "The clock is off",
    "disk": "The disk is almost full",
    "store": "Nothing can be recorded",
}


class Teller:
    """Decides after each scan what is to be told, and puts it into the outbox. Raises `StoreError`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._payouts: dict[str, int] = {}
        self._sounded: dict[str, str] = {}

    def awaited(self, rules: Sequence[Rule]) -> list[str]:
        """The markets of which somebody was told, but not yet how they ended."""
        known = [told for rule in rules for told in self._state.known(rule.name).values()]
        return sorted({told.key[0] for told in known if told.phase != "settled"})

    def learn(self, settlements: pl.DataFrame, rules: Sequence[Rule]) -> None:
        """Take note of how markets ended, as far as somebody was told of them."""
        paid = dict(settlements.drop_nulls("payout_u").select("ticker", "payout_u").iter_rows())
        wanted = self.awaited(rules)
        self._payouts = {t: payout_u for t, payout_u in (self._payouts | paid).items() if t in set(wanted)}

    def hear(
        self,
        listing: Listing,
        evaluation: Evaluation,
        silent: Collection[str],
        *,
        rules: Sequence[Rule],
        receivers: Iterable[str],
        now: datetime,
    ) -> None:
        """Go through a scan by all rules."""
        followed = self._state.followed()
        for rule in rules:
            known = self._state.known(rule.name)
            gone = _departed(known, listing, evaluation, silent)
            happened = Happened(evaluation.opportunities, gone, self._payouts, now)
            items, told = decide(rule, happened, known, followed)
            if items or told:
                self._state.decide(rule.name, items, told, now)
            self._send(rule, receivers, now)

    def go_on(self, rules: Sequence[Rule], receivers: Iterable[str], now: datetime) -> None:
        """Without a scan: markets end all the same, and what waited may be sent."""
        nothing = EDGES.to_frame()
        for rule in rules:
            items, told = decide(rule, Happened(nothing, {}, self._payouts, now), self._state.known(rule.name))
            if items or told:
                self._state.decide(rule.name, items, told, now)
            self._send(rule, receivers, now)

    def sound(self, due: dict[str, str], receivers: Iterable[str], now: datetime) -> None:
        """Tell of alarms that are new and of those that are over."""
        on = self._state.alarms()
        for name, words in due.items():
            if name not in on:
                if self._sounded.get(name) != words:
                    log.error("alarm: %s", words)
                self._sounded[name] = words
                title = f"Fairline: {_WORDS.get(name, name)}"
                self._state.raise_alarm(name, words, receivers, (title, words), now)
        for name, (since, words) in on.items():
            if name not in due:
                self._sounded.pop(name, None)
                log.warning("over: %s", words)
                body = f"Over since {now:%H:%M} UTC, after {_lasted(now - since)}: {words}"
                self._state.clear_alarm(name, receivers, (f"Fairline: all clear ({name})", body), now)

    def _send(self, rule: Rule, receivers: Iterable[str], now: datetime) -> None:
        """Put what waits into a message, unless it has to wait."""
        numbers, items, oldest = self._state.waiting(rule.name)
        to = rule.to or tuple(receivers)
        if oldest is None or not to:
            return  # what there is nobody for waits a week for somebody
        why = hold(rule, oldest, self._state.sent(rule.name, now - timedelta(hours=1)), now)
        note = f"held:{rule.name}"
        if why:
            if why != self._state.note(note):
                self._state.remember(note, why)
            return
        held = self._state.note(note)
        self._state.send(rule.name, to, compose(rule, items, held), now, numbers)
        if held:
            self._state.remember(note, "")


def _departed(
    known: dict[Key, Told], listing: Listing, evaluation: Evaluation, silent: Collection[str]
) -> dict[Key, str]:
    """Of the opportunities that a reader knows, those that are none any more, and why."""
    names = {"ticker": pl.String, "side": pl.String, "model": pl.String}
    keys = pl.DataFrame(list(known), schema=names, orient="row")
    gone = departures(keys, listing, evaluation, silent)
    return {(ticker, side, model): reason for ticker, side, model, reason in gone.iter_rows()}


def _lasted(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{span.total_seconds():.0f} seconds"
