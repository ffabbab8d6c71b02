"""Each test that docs/correctness.md names exists: the argument stands on something."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+(?:\.py(?:::\w+)*|/))`")
NAMES = sorted(set(NAMED.findall((ROOT / "docs" / "correctness.md").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_argument_names_is_there(name: str) -> None:
    path, *inner = name.split("::")
    assert (ROOT / path).exists()
    body: list[ast.stmt] = ast.parse((ROOT / path).read_text(encoding="utf-8")).body if inner else []
    for wanted in inner:
        found = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == wanted
        ]
        assert found, f"{path} has no {wanted}"
        body = found[0].body


def test_the_argument_names_tests() -> None:
    assert len(NAMES) > 15
