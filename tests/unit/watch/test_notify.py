"""Which opportunities a rule follows: the believed ones, or those that no record supports yet."""

import pytest

from fairline.scanner import evaluate
from fairline.watch.alerts import Rule, Section
from fairline.watch.notify import Notifier
from fairline.watch.state import State
from tests.unit.output.reports import listing
from tests.unit.pricing.test_edge import NOW, markets
from tests.unit.test_scanner import Stub


@pytest.mark.parametrize(("section", "ticker"), [(Section.BELIEVED, "T1"), (Section.UNPROVEN, "T0")])
def test_a_rule_follows_its_section_only(tmp_path, section, ticker):
    frame = markets({"yes_bid_dollars": "0.61"}, {"yes_bid_dollars": "0.61"})
    models = [Stub(("T0", 0.7, None), name="elo"), Stub(("T1", 0.7, None), name="mine")]
    evaluation = evaluate(frame, models, {}, asof=NOW)
    state = State(tmp_path)
    rule = Rule("r", section=section)
    Notifier(state).process_scan(listing(frame), evaluation, set(), rules=[rule], receivers=["phone"], now=NOW)
    assert [key[0] for key in state.read_tracked("r")] == [ticker]


def test_a_section_is_read_from_the_settings_in_any_case():
    assert Rule.from_table("r", {"section": "Unproven"}).section is Section.UNPROVEN
    assert Rule.from_table("r", {}).section is Section.BELIEVED
