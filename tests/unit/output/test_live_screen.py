"""The screen of `fairline live`: columns by priority, order, filter and keys."""

import pytest

from fairline.output.live_screen import KEYS, SORTS, LiveRow, LiveStatus, View, choose_rows, render


def row(ticker="KXHIGHNY-26NOV23-B54.5", **changes):
    values = {
        "side": "yes", "model": "elo", "price": 0.41, "p": 0.47, "edge": 6.0, "ev": 0.0432, "ev_per_dollar": 0.1,
        "age_s": 3.2, "move": 0.015, "decided_s": 7_000.0, "title": "Highest temperature in New York?",
    }  # fmt: skip
    return LiveRow(ticker=ticker, **(values | changes))


def status(**changes):
    values = {
        "markets": 117_000, "without_data": 12, "connected": True, "messages_per_s": 512.0, "lag_s": (0.08, 0.31),
        "audit_age_s": 95.0,
    }  # fmt: skip
    return LiveStatus(**(values | changes))


ROWS = [row(), row("KXNFLGAME-26NOV29DALPHI-PHI", side="no", ev=0.09, edge=9.5), row("KXBTCD-26NOV2817-T91999.99")]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_ticker_and_no_number_is_cut_at_any_width(width):
    lines = render(ROWS, status(), View(), width, 24)
    assert len(lines) == 24
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for each in ROWS:
        assert each.ticker in text
        assert f"{each.price:.4f}" in text
        assert f"{each.ev:+.4f}" in text


def test_wider_terminals_show_more_columns():
    screens = [render(ROWS, status(), View(), width, 24) for width in (60, 80, 140)]
    headings = [next(line for line in lines if line.startswith("market")).split() for lines in screens]
    assert [len(heading) for heading in headings] == sorted(len(heading) for heading in headings)
    assert "model" in headings[-1]


def test_where_not_even_the_most_important_columns_fit_each_opportunity_takes_two_lines():
    lines = render(ROWS, status(), View(), 40, 24)
    place = lines.index("KXHIGHNY-26NOV23-B54.5")
    assert lines[place + 1] == "  YES 0.4100  EV +0.0432  3.2 s"


def test_the_status_names_lag_markets_without_data_and_the_state_of_the_feed():
    text = " ".join(render(ROWS, status(), View(), 120, 24))
    for part in ("feed open", "lag 0.1 s, 99 % 0.3 s", "117,000 markets", "12 without current data", "95 s ago"):
        assert part in text
    closed = render([], status(connected=False, lag_s=None, alarm="books differ\x1b[2J"), View(), 80, 24)
    assert closed[0].startswith("FEED CLOSED · lag –")
    assert any(line.startswith("ALARM: books differ") for line in closed)
    assert "\x1b" not in "".join(closed)


def test_rows_are_ordered_by_what_was_chosen():
    assert choose_rows(ROWS, View(sort="ev"))[0].side == "no"
    assert choose_rows([row(age_s=9.0), row("B", age_s=1.0)], View(sort="age"))[0].ticker == "B"
    assert choose_rows([row(move=None), row("B", move=-0.2)], View(sort="move"))[0].ticker == "B"


def test_a_filter_looks_into_ticker_side_model_and_title():
    for text, count in (("nfl", 1), ("NO", 1), ("temperature", 3), ("elo", 3), ("zebra", 0)):
        assert len(choose_rows([r for r in ROWS if text != "NO" or r.side == "no"], View(filter=text))) == count


def test_keys_sort_filter_scroll_and_quit():
    view = View()
    for expected in (*SORTS[1:], SORTS[0]):
        assert not view.press("s")
        assert view.sort == expected
    for key in "/btcq\x7f":
        assert not view.press(key)
    assert (view.filter, view.typing) == ("btc", True)
    view.press("\r")
    assert not view.typing
    view.press("c")
    assert view.filter == ""
    view.press("k")
    assert view.first == 0
    view.press("j")
    assert view.first == 1
    assert view.press("q")


def test_scrolling_stops_at_the_last_row():
    view = View(first=50)
    render(ROWS, status(), view, 80, 24)
    assert view.first == 2


def test_the_keys_are_on_the_last_line():
    assert render(ROWS, status(), View(), 80, 24)[-1] == KEYS
