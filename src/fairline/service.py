"""A watch as a service of the system: the unit for systemd, a Containerfile, and telling systemd how one is doing."""

import shlex
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
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={folders}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
SystemCallArchitectures=native
CapabilityBoundingSet=

[Install]
WantedBy=default.target
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


def unit(command: Sequence[str], environment: Path, folders: Sequence[Path]) -> str:
    """A unit for `systemctl --user`: restarted when it fails, watched by systemd, able to write these folders only."""
    written = " ".join(_quoted(f"-{folder}") for folder in folders)
    return _UNIT.format(command=" ".join(_quoted(part) for part in command), environment=environment, folders=written)


def containerfile(arguments: Sequence[str]) -> str:
    listed = ", ".join(f'"{argument}"' for argument in arguments)
    return _CONTAINER.format(version=fairline.__version__, arguments=listed)


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


def _quoted(text: str) -> str:
    # systemd reads % as the beginning of a specifier and $ as that of a variable.
    return shlex.quote(text.replace("%", "%%").replace("$", "$$"))
