"""Report retired words and phrases with their replacements: `python -m dev.words [PATH ...]`.

The list is `dev/words.toml`. Python files are checked token by token (comments, strings, docstrings) and name by
name; Markdown and other text files line by line, code blocks excepted. Exits with 1 if anything was found.
"""

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_PATHS = (
    "src",
    "docs",
    "tests",
    "benchmarks",
    "conformance",
    "examples",
    "README.md",
    "CHANGELOG.md",
    "Makefile",
)
EXCLUDED = {"test_dev.py", "words.toml"}
"""Files that quote retired words."""
TERMS = {("funnel.py", "kept")}
"""Names that are a term in one file: a step of a funnel has kept and dropped markets, also in JSON."""
SUFFIXES = {".py", ".md", ".toml", ".html"}
STRING_TOKENS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
PARTICIPLES = re.compile(r"[a-z]{2,}ed|broken|hidden|sent|held|drawn|left|given|taken|gone")
NOT_PARTICIPLES = {"embed", "exceed", "feed", "need", "proceed", "seed", "speed"}


class Finding(NamedTuple):
    path: Path
    line: int
    used: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.used!r}: write {self.instead}"


class WordList:
    def __init__(self, table: dict[str, dict[str, str]]) -> None:
        self.names = table["names"]
        self.classes = table["classes"]
        self.constants = table["constants"]
        self.openings = table["openings"]
        self.patterns = [
            (re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE | re.MULTILINE), instead)
            for pattern, instead in table["text"].items()
        ]

    def check_text(self, path: Path, text: str, first_line: int) -> Iterator[Finding]:
        for pattern, instead in self.patterns:
            for match in pattern.finditer(text):
                line = first_line + text.count("\n", 0, match.start())
                yield Finding(path, line, " ".join(match[0].split()), instead)

    def check_name(self, path: Path, line: int, name: str) -> Iterator[Finding]:
        bare = name.lstrip("_")
        table = self.constants if bare.isupper() else self.names
        if bare in table and (path.name, bare) not in TERMS:
            yield Finding(path, line, name, table[bare])

    def check_function(self, path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
        bare = node.name.lstrip("_")
        decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        is_value = "property" in decorators or "fixture" in decorators or bare.startswith("test_")
        is_participle = PARTICIPLES.fullmatch(bare) and bare not in NOT_PARTICIPLES
        if is_participle and not is_value and bare not in self.names:
            yield Finding(path, node.lineno, f"def {node.name}", "a verb or a noun instead of a bare participle")
        docstring = ast.get_docstring(node) or ""
        first_word = docstring.split(" ", 1)[0]
        if first_word in self.openings and not is_value:
            yield Finding(path, node.lineno + 1, f'"""{first_word} …', self.openings[first_word])


def check_file(words: WordList, path: Path) -> list[Finding]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        findings = [*check_strings(words, path, text), *check_names(words, path, ast.parse(text))]
    else:
        prose = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
        findings = list(words.check_text(path, prose, 1))
    return sorted(set(findings), key=lambda finding: (finding.line, finding.used))


def check_strings(words: WordList, path: Path, text: str) -> Iterator[Finding]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield from words.check_text(path, token.string.lstrip("# "), token.start[0])
        elif token.type in STRING_TOKENS:
            content = re.sub(r"""^[a-zA-Z]*("{3}|'{3}|"|')""", "", token.string)
            yield from words.check_text(path, content, token.start[0])


def check_names(words: WordList, path: Path, tree: ast.AST) -> Iterator[Finding]:
    """Check every name that the file defines, except fields of classes, which may be documented keys of a format."""
    fields = {
        statement.target
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from words.check_function(path, node)
            yield from words.check_name(path, node.lineno, node.name)
        elif isinstance(node, ast.ClassDef) and node.name.lstrip("_") in words.classes:
            yield Finding(path, node.lineno, node.name, words.classes[node.name.lstrip("_")])
        elif isinstance(node, ast.arg):
            yield from words.check_name(path, node.lineno, node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in fields:
            yield from words.check_name(path, node.lineno, node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from words.check_name(path, node.lineno, node.attr)


def list_files(paths: list[Path]) -> list[Path]:
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    texts = [file for file in files if file.is_file() and (file.suffix in SUFFIXES or file.name == "Makefile")]
    return [file for file in texts if file.name not in EXCLUDED]


def load_words() -> WordList:
    return WordList(tomllib.loads((ROOT / "dev" / "words.toml").read_text(encoding="utf-8")))


def main(arguments: list[str]) -> int:
    words = load_words()
    paths = [Path(argument) for argument in arguments] or [ROOT / name for name in DEFAULT_PATHS]
    findings = [finding for file in list_files(paths) for finding in check_file(words, file)]
    for finding in findings:
        print(finding)
    rooms = Counter("/".join(finding.path.resolve().relative_to(ROOT).parts[:4][:-1]) for finding in findings)
    for room, count in rooms.most_common():
        print(f"{count:6,}  {room or '.'}", file=sys.stderr)
    print(f"{len(findings):6,}  in total", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
