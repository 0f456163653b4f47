"""An account's holdings in the form that scans use."""

from fairline.kalshi.portfolio import AccountRecords
from fairline.positions.records import dollars_u, parse_order, parse_position
from fairline.pricing.holdings import Holding, Holdings


def holdings_of(records: AccountRecords) -> Holdings:
    """Return what an account holds and what rests, with its equity: cash and the exchange's value of the positions."""
    rows: dict[str, Holding] = {}
    for position in map(parse_position, records.positions):
        if position.count_cc:
            rows[position.ticker] = Holding(
                position.ticker, position.direction, abs(position.count_cc), position.exposure_u
            )
    for order in map(parse_order, records.orders):
        if not order.count_cc:
            continue
        row = rows.get(order.ticker) or Holding(order.ticker, order.direction, 0, 0)
        towards_yes = order.direction == "yes"
        rows[order.ticker] = Holding(
            row.ticker,
            row.side,
            row.count_cc,
            row.cost_u,
            row.resting_yes_cc + (order.count_cc if towards_yes else 0),
            row.resting_no_cc + (0 if towards_yes else order.count_cc),
        )
    balance = records.balance
    equity_u = None if balance is None else dollars_u(balance.dollars) + (balance.portfolio_value or 0) * 10_000
    return Holdings(tuple(rows.values()), equity_u)
