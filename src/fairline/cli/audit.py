"""A scan in a process of its own, for a live watch: the watch goes on meanwhile, and its memory stays small.

`python -m fairline.cli.audit` reads a pickled `AuditJob` from standard input and writes the pickled result, or the
reason why there is none, to standard output. Both ends are this program.
"""

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fairline.api.options import ModelInputs
from fairline.api.session import load_models
from fairline.config.connect import connect, memory_of, sources_of
from fairline.config.settings import Settings
from fairline.errors import FairlineError
from fairline.kalshi import KalshiError
from fairline.kalshi.errors import AuthError
from fairline.models import Model
from fairline.scanner import ScanOptions, ScanResult, run_scan


@dataclass(frozen=True, slots=True)
class AuditJob:
    """What to scan. `models` as requested; only those named in `active` are run."""

    settings: Settings = field(repr=False)
    models: Sequence[str | Path]
    inputs: ModelInputs
    active: Sequence[str]
    options: ScanOptions


@dataclass(frozen=True, slots=True)
class AuditFailure:
    """Why there is no result. `status` is the exchange's refusal, 0 for other reasons."""

    message: str
    remedy: str
    status: int = 0
    of_exchange: bool = True

    def error(self) -> KalshiError | FairlineError:
        """Return the error to raise in the watch."""
        if self.status in (401, 403):
            return AuthError(self.message, remedy=self.remedy, status=self.status)
        kind = KalshiError if self.of_exchange else FairlineError
        return kind(self.message, remedy=self.remedy)


class AuditProcess:
    """Runs each scan of a watch in a new process. The process ends with the call, also if that is cancelled."""

    def __init__(
        self,
        settings: Settings,
        models: Sequence[str | Path],
        inputs: ModelInputs,
    ) -> None:
        # Market data needs no key, so the process gets none.
        self._job = (replace(settings, key_id="", key_file="", key_text="", passphrase=""), models, inputs)

    async def __call__(self, models: Sequence[Model], options: ScanOptions) -> ScanResult:
        """Scan with those of the models that are given. Raises `KalshiError` or `FairlineError`."""
        job = AuditJob(*self._job, active=[model.name for model in models], options=options)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fairline.cli.audit",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            answer, _ = await process.communicate(pickle.dumps(job))
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode or not answer:
            raise FairlineError(f"the process of the audit ended with code {process.returncode}", remedy="See its log")
        outcome = await asyncio.to_thread(pickle.loads, answer)
        if isinstance(outcome, AuditFailure):
            raise outcome.error()
        if not isinstance(outcome, ScanResult):
            raise FairlineError("the process of the audit sent no result")
        return outcome


async def carry_out(job: AuditJob, notify: Callable[[str], None]) -> ScanResult | AuditFailure:
    """Scan as the job says; return the result, or why there is none."""
    try:
        models = [m for m in load_models(job.models, job.inputs, job.settings.environment) if m.name in job.active]
        async with await connect(job.settings, None, notify) as kalshi:
            result = await run_scan(kalshi, models, job.options, memory=memory_of(job.settings), sources=sources_of())
            # One frame for both, so that it is sent and held once.
            return replace(result, evaluation=replace(result.evaluation, markets=result.listing.markets))
    except KalshiError as error:
        return AuditFailure(error.message, error.remedy, getattr(error, "status", 0))
    except FairlineError as error:
        return AuditFailure(error.message, error.remedy, of_exchange=False)


def main() -> None:
    """Carry out the job on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the watch ends this process
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a model prints must not get into the answer
    job = pickle.loads(sys.stdin.buffer.read())  # noqa: S301  the watch wrote it
    outcome = asyncio.run(carry_out(job, lambda text: print(text, file=sys.stderr)))
    with answers:
        pickle.dump(outcome, answers, protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main()
