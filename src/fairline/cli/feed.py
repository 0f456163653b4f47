"""`feed`: record the exchange's feed, and judge a recording."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter, validators

from fairline.api.options import Connection, Credentials
from fairline.cli.options import ConnectionOptions, CredentialOptions
from fairline.cli.output import FormatOptions, emit
from fairline.cli.terminal import note
from fairline.errors import ConfigError, InputError, UsageError

if TYPE_CHECKING:
    from fairline.market.feed_check import FeedReport

_FEED = Group("The recording", sort_key=10)
_DISAGREES = 1


def feed(
    *tickers: Annotated[str, Parameter(group=_FEED, help="Markets whose order books are recorded too.")],
    record: Annotated[Path | None, Parameter(group=_FEED, help="Write raw frames with receive times to this file.")] = (
        None
    ),
    check: Annotated[Path | None, Parameter(group=_FEED, help="Rebuild the books of a recording and judge them.")] = (
        None
    ),
    seconds: Annotated[
        float | None, Parameter(group=_FEED, validator=validators.Number(gt=0), help="Record this long, then stop.")
    ] = None,
    output: FormatOptions = FormatOptions(),
    connection: ConnectionOptions = Connection(),
    credentials: CredentialOptions = Credentials(),
) -> int:
    """Record the exchange's feed, or rebuild a recording and judge it."""
    if (record is None) == (check is None):
        raise UsageError("expected either --record FILE or --check FILE")
    if check is not None:
        return _check(check, output)
    import asyncio

    from fairline.cli.feed_recording import record_feed
    from fairline.cli.settings import read_settings, sign_in
    from fairline.kalshi import ApiKeyAuth
    from fairline.market.tickers import parse_market_ticker

    settings = read_settings(connection, credentials)
    auth = sign_in(settings)
    if not isinstance(auth, ApiKeyAuth):
        raise ConfigError("the feed needs an API key", remedy="Give --key-id and --key-file")
    names = [parse_market_ticker(ticker) for ticker in tickers]
    assert record is not None  # noqa: S101  (one of the two was given)
    frames = asyncio.run(record_feed(settings.websocket_url, auth, names, record, seconds))
    note(f"Wrote {frames:,} frames to {record}")
    return 0


def _check(path: Path, output: FormatOptions) -> int:
    from dataclasses import asdict

    from fairline.cli.feed_recording import read_frames
    from fairline.kalshi.feed_messages import decode
    from fairline.market.feed_check import FeedCheck

    checking = FeedCheck()
    try:
        for frame in read_frames(path):
            checking.add(decode(frame))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a recording of the feed", remedy="Make one with --record") from error
    report = checking.finish()
    fields = asdict(report) | {"agrees": report.agrees}
    emit(output, table=lambda: print(_describe(report)), document=lambda: fields, rows=lambda: [fields])
    return 0 if report.agrees else _DISAGREES


def _describe(report: "FeedReport") -> str:
    kinds = ", ".join(f"{count:,} {kind.lower()}" for kind, count in sorted(report.kinds.items()))
    lines = [
        f"{report.messages:,} messages of {report.markets:,} markets on {report.connections} connections: {kinds}",
        f"Sequence: {report.gaps:,} gaps, {report.repeated:,} repeated",
        f"Not read: {report.unknown:,} of unknown types, {report.unreadable:,} with impossible amounts",
        f"Books equal the ticker in {report.equal:,} of {report.compared:,} cases, by the exchange's time",
    ]
    return "\n".join([*lines, *(f"  {example}" for example in report.examples)])
