"""Measure how large and how branched the code is: `python -m dev.shape [FOLDER]`.

Length is a function's lines without its docstring. Each `if`, `elif`, loop, `except`, `case`, conditional expression,
`and`, `or`, comprehension and filter of a comprehension is a branch; nested functions count for themselves.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case, ast.IfExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
WORST = 15


@dataclass(frozen=True)
class Function:
    """A function's place and size."""

    path: Path
    name: str
    line: int
    length: int
    branches: int


@dataclass(frozen=True)
class Shape:
    """The functions of a folder and the number of lines of each of its files."""

    functions: list[Function]
    files: dict[Path, int]

    @property
    def lengths(self) -> list[int]:
        return [function.length for function in self.functions]

    @property
    def branches(self) -> list[int]:
        return [function.branches for function in self.functions]


def measure(folder: Path) -> Shape:
    """Return the shape of all Python files below a folder."""
    functions: list[Function] = []
    files = {}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        files[path] = text.count("\n")
        functions += [measure_function(path, node) for node in ast.walk(ast.parse(text)) if isinstance(node, FUNCTIONS)]
    return Shape(functions, files)


def measure_function(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    docstring = node.body[0] if ast.get_docstring(node) is not None else None
    docstring_lines = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    length = (node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines
    branches = sum(count_branches(child) for child in walk_own(node))
    return Function(path, node.name, node.lineno, length, branches)


def walk_own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a function's nodes, those of functions defined inside it excepted."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTIONS):
            yield child
            yield from walk_own(child)


def count_branches(node: ast.AST) -> int:
    if isinstance(node, BRANCHES):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    return 1 + len(node.ifs) if isinstance(node, ast.comprehension) else 0


def percentile(values: list[int], percent: int) -> int:
    """Return the smallest value that at least `percent` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments else ROOT / "src" / "fairline"
    shape = measure(folder)
    lengths, branches, sizes = shape.lengths, shape.branches, list(shape.files.values())
    print(f"{len(sizes)} files, {sum(sizes):,} lines, median {median(sizes):g}, largest {max(sizes)}")
    print(f"{len(lengths):,} functions")
    print(f"  length    median {median(lengths):g}, p95 {percentile(lengths, 95)}, largest {max(lengths)}")
    print(f"  branches  median {median(branches):g}, p95 {percentile(branches, 95)}, most {max(branches)}")
    print("Most branches:")
    for function in sorted(shape.functions, key=lambda function: -function.branches)[:WORST]:
        place = f"{function.path.relative_to(folder)}:{function.line}"
        print(f"  {function.branches:3}  {function.length:3} lines  {place} {function.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
