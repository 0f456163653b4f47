"""Run a watch as a system service: a systemd unit, a Containerfile, and notifications to systemd."""

import getpass
import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from fairline.version import __version__

_UNIT = """\
# Created by: fairline service install
[Unit]
Description=Fairline watch
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WorkingDirectory={here}
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=10
TimeoutStartSec=900
TimeoutStopSec=10
WatchdogSec=600
EnvironmentFile=-{environment}
UMask=0077
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
{more}
[Install]
WantedBy={target}
"""

# Settings for system units only: a user's service manager lacks the permissions for them.
_HARDENED = """\
User={user}
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={folders}
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
CapabilityBoundingSet=
"""

_CONTAINER = """\
# Created by: fairline service install --container. Build with: podman build -t fairline -f Containerfile .
FROM docker.io/library/python:3.12-slim
RUN pip install --no-cache-dir 'fairline[watch,charts,sql]=={version}' \\
    && useradd --create-home --uid 1000 fairline \\
    && install -d -o fairline /store
USER fairline
VOLUME /store
ENV PYTHONUNBUFFERED=1
HEALTHCHECK --interval=60s --timeout=5s --start-period=15m \\
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz')"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["fairline", "watch", "--store", "/store", "--log-format", "json"]
CMD [{arguments}]
"""


def systemd_unit(
    command: Sequence[str], environment: Path, folders: Sequence[Path], *, here: Path, system: bool = False
) -> str:
    """Return a unit that runs the command in the folder `here` and restarts it when it fails.

    It is for `systemctl --user`; with `system` it is a system unit that runs as this user and can write only `folders`.
    """
    writable = " ".join(_quote(f"-{folder}") for folder in folders)
    return _UNIT.format(
        here=_escape(str(here)),
        command=" ".join(_quote(part).replace("$", "$$") for part in command),
        environment=_escape(str(environment)),
        more=_HARDENED.format(user=getpass.getuser(), folders=writable) if system else "",
        target="multi-user.target" if system else "default.target",
    )


def containerfile(arguments: Sequence[str]) -> str:
    """Return a Containerfile whose entry point is `fairline watch` with these arguments."""
    return _CONTAINER.format(version=__version__, arguments=json.dumps(list(arguments))[1:-1])


def supervisor_notifier(address: str) -> Callable[[str], None]:
    """Return a function that sends a state to systemd (sd_notify(3)); without an address it does nothing."""
    if not address:
        return lambda _: None
    target = "\0" + address[1:] if address.startswith("@") else address

    def notify(text: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            try:
                connection.sendto(text.encode(), target)
            except OSError:
                # A supervisor that is gone must not stop the watch.
                return

    return notify


def _escape(text: str) -> str:
    """Escape %, which starts a specifier in systemd."""
    return text.replace("%", "%%")


def _quote(text: str) -> str:
    """Quote text as systemd does, which is as in C."""
    return '"' + _escape(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
