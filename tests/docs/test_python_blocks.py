"""The Python on the pages: what it takes from voxtune exists, and is called as it can be called."""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from tests.docs.markdown import Block, blocks


class Checker(ast.NodeVisitor):
    """Follows the types of what comes from voxtune, statement by statement. `known`: by name, a module, function,
    class, or an annotation in `Value`; names of other packages are not followed."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.split(".")[0] == "voxtune":
                importlib.import_module(alias.name)
                self.known["voxtune"] = importlib.import_module("voxtune")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if (node.module or "").split(".")[0] == "voxtune":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                self.known[alias.asname or alias.name] = getattr(module, alias.name)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._bind(node.targets[0], self.kind(node.value))

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, _element(self.kind(node.iter)))
        for statement in node.body:
            self.visit(statement)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.kind(node.value)

    def kind(self, node: ast.expr) -> Any:
        """What an expression gives: an object of voxtune, `Value` of an annotation, or None."""
        match node:
            case ast.Name():
                return self.known.get(node.id)
            case ast.Attribute():
                return _attribute(self.kind(node.value), node.attr)
            case ast.Call():
                for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                    self.kind(argument)
                return _called(self.kind(node.func), node)
            case _:
                return None

    def _bind(self, target: ast.expr, kind: Any) -> None:
        if isinstance(target, ast.List):
            for item in target.elts:
                self._bind(item, _element(kind))
        elif isinstance(target, ast.Name):
            self.known[target.id] = kind


class Value:
    """An object of a type."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation


def _element(kind: Any) -> Any:
    return Value(get_args(kind.annotation)[0]) if isinstance(kind, Value) and get_args(kind.annotation) else None


def _attribute(owner: Any, name: str) -> Any:
    if owner is None:
        return None
    if not isinstance(owner, Value):
        return getattr(owner, name)
    kind = get_origin(owner.annotation) or owner.annotation
    hints = get_type_hints(kind)
    return Value(hints[name]) if name in hints else getattr(kind, name)


def _called(function: Any, node: ast.Call) -> Any:
    if function is None:
        return None
    takes_self = inspect.isfunction(function) and "." in function.__qualname__
    arguments = [None] * (len(node.args) + takes_self)
    inspect.signature(function).bind(*arguments, **{str(keyword.arg): None for keyword in node.keywords})
    return Value(function if inspect.isclass(function) else get_type_hints(function)["return"])


def check(text: str) -> Checker:
    tree = ast.parse(text)
    checker = Checker()
    for statement in tree.body:
        if isinstance(statement, ast.Try):
            for inner in statement.body:
                checker.visit(inner)
        else:
            checker.visit(statement)
    return checker


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_block(block: Block) -> None:
    assert check(block.text).known


@pytest.mark.parametrize(
    "wrong",
    [
        "import voxtune\nvoxtune.lode('out')",
        "import voxtune\nvoxtune.load('out', colour='red')",
        "import voxtune\nvoxtune.load('out').transcribe('a.wav', hotword=['a'])",
        "import voxtune\nfor x in voxtune.load('out').transcribe('a.wav'):\n    print(x.words)",
        "import voxtune\n[x] = voxtune.load('out').transcribe('a.wav')\nfor t in x.timestamps:\n    t.begin",
        "from voxtune.errors import VoxError",
    ],
)
def test_what_is_wrong_is_found(wrong: str) -> None:
    with pytest.raises((AttributeError, TypeError)):
        check(wrong)
