"""`service install`: the watch as a service of the operating system."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fairline.api.options import Connection
from fairline.cli.options import ConnectionOptions, StoreFolder
from fairline.cli.settings import read_settings
from fairline.cli.terminal import note
from fairline.errors import UsageError

if TYPE_CHECKING:
    from fairline.config.settings import Settings


def install(
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, help="Options of fairline watch, after --.")],
    dry_run: Annotated[bool, Parameter(negative="", help="Print the file and change nothing.")] = False,
    container: Annotated[bool, Parameter(negative="", help="Write a Containerfile, not a systemd unit.")] = False,
    system: Annotated[
        bool, Parameter(negative="", help="Write a hardened system unit that runs as you. Needs root.")
    ] = False,
    store: StoreFolder = None,
    connection: ConnectionOptions = Connection(),
) -> None:
    """Write a systemd unit that runs the watch from this folder, or a Containerfile."""
    import platformdirs

    from fairline.config.connect import own_folders, store_folder
    from fairline.output.files import write_output
    from fairline.watch.service import containerfile, systemd_unit

    settings = read_settings(connection)
    options = [*arguments, *_connection_flags(settings, connection)]
    folders: list[Path] = []
    if container:
        if store is not None:
            raise UsageError("a container keeps its store in the volume /store", field="store")
        text, path = containerfile(options), Path("Containerfile")
    else:
        folders = [store_folder(settings, store).absolute(), *own_folders()]
        command = [sys.executable, "-m", "fairline", "watch", "--store", str(folders[0]), *options]
        environment = platformdirs.user_config_path() / "fairline" / "environment"
        text = systemd_unit(command, environment, folders, here=Path.cwd(), system=system)
        path = _unit_path(system=system)
    if dry_run:
        sys.stdout.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, text.encode())
    note(f"Wrote {path}")
    if not container:
        _finish(folders, system=system)


def _connection_flags(settings: "Settings", connection: Connection) -> list[str]:
    """Name exchange and profile also if they come from the environment, which a service does not have."""
    if not settings.profile:
        return ["--exchange", settings.exchange]
    named = ["--exchange", connection.exchange] if connection.exchange else []
    return [*named, "--profile", settings.profile]


def _unit_path(*, system: bool) -> Path:
    if system:
        return Path("/etc/systemd/system/fairline.service")
    import platformdirs

    return platformdirs.user_config_path() / "systemd" / "user" / "fairline.service"


def _finish(folders: list[Path], *, system: bool) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    systemctl = "systemctl" if system else "systemctl --user"
    note(f"Start it with: {systemctl} daemon-reload && {systemctl} enable --now fairline")
    if not system:
        note("To let it run while you are logged out: loginctl enable-linger")
