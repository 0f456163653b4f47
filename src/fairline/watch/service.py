"""A watch as a service of the system: the unit for systemd, a Containerfile, and telling systemd how one is doing."""

import getpass
import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import fairline

_UNIT = """\
# Made by: fairline service install
[Unit]
Description=Fairline watches the exchange
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

# A unit of one's own user cannot have these: the user's manager may not set up what they need.
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
# Made by: fairline service install --container. Build with: podman build -t fairline -f Containerfile .
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


def unit(
    command: Sequence[str], environment: Path, folders: Sequence[Path], *, here: Path, system: bool = False
) -> str:
    """A unit that runs the command in the folder `here`, restarts it when it fails and is told how it is doing: for
    `systemctl --user`, or one of the `system`, run as this user, that can write these folders only.
    """
    written = " ".join(_quoted(f"-{folder}") for folder in folders)
    return _UNIT.format(
        here=_escaped(str(here)),
        command=" ".join(_quoted(part).replace("$", "$$") for part in command),
        environment=_escaped(str(environment)),
        more=_HARDENED.format(user=getpass.getuser(), folders=written) if system else "",
        target="multi-user.target" if system else "default.target",
    )


def containerfile(arguments: Sequence[str]) -> str:
    return _CONTAINER.format(version=fairline.__version__, arguments=json.dumps(list(arguments))[1:-1])


def notifier(address: str) -> Callable[[str], None]:
    """Tells systemd how one is doing (sd_notify(3)); does nothing without an address."""
    if not address:
        return lambda _: None
    target = "\0" + address[1:] if address.startswith("@") else address

    def say(text: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            try:
                line.sendto(text.encode(), target)
            except OSError:
                # Nobody listens any more; that is no reason to stop.
                return

    return say


def _escaped(text: str) -> str:
    """systemd reads % as the beginning of a specifier."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """In systemd's quotes, which are those of C."""
    return '"' + _escaped(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
