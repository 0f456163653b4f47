"""What the import contracts cannot check: who may touch the network, the environment and the clock."""

import ast
from pathlib import Path

from dev.shape import measure, percentile

SOURCE = Path(__file__).resolve().parents[1] / "src" / "fairline"
FILES = {str(path.relative_to(SOURCE)): ast.parse(path.read_text()) for path in SOURCE.rglob("*.py")}


def importers(module: str) -> set[str]:
    files = set()
    for name, tree in FILES.items():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(n == module or n.startswith(f"{module}.") for n in names):
                files.add(name)
    return files


def test_only_two_files_of_the_client_and_the_simulator_import_the_http_library():
    assert importers("aiohttp") == {
        "kalshi/http.py",
        "kalshi/websocket.py",
        *(
            f"sim/{name}.py"
            for name in ("app", "article", "feed", "history", "market_data", "members", "portfolio", "reference")
        ),
        "sim/reply.py",
        "sim/server.py",
    }


def test_only_config_reads_the_environment():
    readers = {name for name, tree in FILES.items() if any(
        isinstance(n, ast.Attribute) and n.attr in ("environ", "getenv") for n in ast.walk(tree)
    )}  # fmt: skip
    assert readers == {"config/allocator.py", "config/settings.py"}


def test_client_and_simulator_import_nothing_else_from_this_package():
    importing = {n for n in FILES if imports_other_rooms(n)}
    assert not {n for n in importing if n.startswith(("kalshi/", "sim/"))}


def imports_other_rooms(name: str) -> bool:
    room = name.split("/", maxsplit=1)[0]
    modules = [n.module or "" for n in ast.walk(FILES[name]) if isinstance(n, ast.ImportFrom)]
    return any(m.startswith("fairline") and not m.startswith(f"fairline.{room}") for m in modules)


def test_files_are_small_and_the_hot_path_never_loops_over_rows():
    assert max(len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py")) <= 400
    for name in ("pricing/edge.py", "market/fees.py", "scanner.py"):
        calls = {n.attr for n in ast.walk(FILES[name]) if isinstance(n, ast.Attribute)}
        assert not calls & {"map_elements", "iter_slices", "to_dicts", "apply"}


def test_functions_are_short_and_flat():
    shape = measure(SOURCE)
    assert percentile(shape.branches, 95) <= 8
    assert percentile(shape.lengths, 95) <= 35
    assert max(shape.lengths) <= 80
