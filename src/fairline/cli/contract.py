"""`doctor --contract`: compare the exchange with what this version expects."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

from fairline.cli.output import FormatOptions, PrintOptions, emit
from fairline.cli.settings import sign_in
from fairline.cli.terminal import note
from fairline.config.connect import transport_of
from fairline.config.settings import Settings
from fairline.kalshi.contract import ContractCheck, ContractReport
from fairline.kalshi.transport import Retry
from fairline.output.files import write_output
from fairline.text import sanitize
from fairline.version import __version__

_RETRY = Retry(tries=2)
"""Few attempts, so that a failing exchange does not use up the requests."""


def check_contract(settings: Settings, output: FormatOptions) -> int:
    """Check, print the result, write the report to `output`, and return the exit code."""

    async def read() -> ContractReport:
        transport = transport_of(settings, sign_in(settings), note, retry=_RETRY)
        async with transport:
            return await ContractCheck(transport, settings.websocket_url).run()

    report = asyncio.run(read())
    document = {"fairline": __version__} | asdict(report) | {"passed": report.passed}
    printed = PrintOptions(output.format, output.json)
    checks = [asdict(check) for check in report.checks]
    emit(printed, table=lambda: _print_report(report), document=lambda: document, rows=lambda: checks)
    if output.output is not None:
        write_output(output.output, (_encode(document) + "\n").encode())
        note(f"Wrote {output.output}. It contains no key, signature or account value.")
    return 0 if report.passed else 1


def _encode(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2)


def _print_report(report: ContractReport) -> None:
    for check in report.checks:
        print(f"{check.status:8}{check.name:17}{sanitize(check.evidence)}")
    result = "as this version expects" if report.passed else "NOT as this version expects"
    print(f"{report.exchange} is {result} ({report.requests} requests).")
    failed = next((check for check in report.checks if check.status == "fail"), None)
    if failed is not None:
        print(f"{failed.remedy} (--output report.json).")
