"""Benchmarks run seldom, so each is read here: what it asks of the pack, the host and its helpers is there, by that
name and with those arguments. Nothing of them runs but what their modules do when they are imported."""
import ast
import importlib
import inspect
import sys
import textwrap
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
FILES = sorted((TESTS / "benchmarks").glob("*.py"))
HELPERS = ("benchmarks", "training", "lora", "critique", "../starter")       # folders that timing.start_host is given


class Made:
    """An instance, of which only the class is known."""

    def __init__(self, of):
        self.of = of

    def has(self, name: str) -> bool:
        return hasattr(self.of, name) or hasattr(self.of, "__getattr__") or name in kept_in_self(self.of)


@cache
def kept_in_self(of: type) -> set[str]:
    """The attributes that a class and those it is made from declare, or that their methods give to `self`."""
    found = set()
    for each in filter(of_the_repository, of.__mro__):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
        except OSError:                     # made by a call, as namedtuple(...) does, or sharing its name
            continue
        found |= set(inspect.get_annotations(each)) | {
            node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"}
    return found


def of_the_repository(of) -> bool:
    return inspect.isclass(of) and str(getattr(sys.modules.get(of.__module__), "__file__", "")).startswith(str(ROOT))


class Reader(ast.NodeVisitor):
    """Follows modules and instances through the names they are given; `wrong` says what is not there.

    classes: where those that the text defines are found."""

    def __init__(self, pack, classes=None):
        self.pack, self.classes, self.names, self.wrong = pack, classes, {}, []

    def complain(self, node, what):
        self.wrong.append(f"line {node.lineno}, {ast.unparse(node)}: {what}")

    def value(self, node):
        """What an expression is, as far as it is known: a module, a thing of one, a Made, else None."""
        known = self.names.get(ast.unparse(node)) if isinstance(node, (ast.Name, ast.Attribute)) else None
        if known is None and isinstance(node, ast.Call):
            return self.called(node)
        return self.attribute(node) if known is None and isinstance(node, ast.Attribute) else known

    def attribute(self, node):
        if node.attr == "pack":
            return self.pack
        of = self.value(node.value)
        if isinstance(of, ModuleType) or inspect.isclass(of):
            if hasattr(of, node.attr):
                return getattr(of, node.attr)
            self.complain(node, f"{of.__name__} has no {node.attr}")
        elif isinstance(of, Made) and isinstance(node.ctx, ast.Load) and not of.has(node.attr):
            self.complain(node, f"{of.of.__name__} has no {node.attr}")

    def called(self, node):
        name = ast.unparse(node.func).rpartition(".")[2]
        if name == "part":
            return self.module_of_the_pack(node, f"nodes.{self.constant(node.args[-1])}")
        if name == "import_module" and isinstance(node.args[0], ast.JoinedStr):
            return self.module_of_the_pack(node, self.constant(node.args[0].values[-1]).removeprefix("."))
        if name == "_replace":
            return self.replaced(node)
        function = self.value(node.func)
        gives = self.check_arguments(node, function) if callable(function) else None
        return Made(gives) if of_the_repository(gives) else None

    def module_of_the_pack(self, node, name):
        try:
            return importlib.import_module(f"{self.pack.__name__}.{name}")
        except ModuleNotFoundError as error:
            self.complain(node, str(error))

    def constant(self, node):
        """A name as it stands there; one that is put together elsewhere is no module's, and so is complained of."""
        return node.value if isinstance(node, ast.Constant) else ast.unparse(node)

    def replaced(self, node):
        made = self.value(node.func.value)
        if isinstance(made, Made) and hasattr(made.of, "_fields"):
            for keyword in node.keywords:
                if keyword.arg not in (None, *made.of._fields):
                    self.complain(node, f"{made.of.__name__} has no {keyword.arg}")
        return made

    def check_arguments(self, node, function):
        """The class of what a call gives, where it is told."""
        gives = function if inspect.isclass(function) else None
        keywords = [keyword.arg for keyword in node.keywords]
        if None in keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            return gives
        try:
            signature = inspect.signature(function)
        except ValueError:                  # of a function of torch's own
            return gives
        try:
            signature.bind(*node.args, **dict.fromkeys(keywords))
        except TypeError as error:
            self.complain(node, str(error))
        return gives or signature.return_annotation

    def visit_Import(self, node):
        for alias in node.names:
            module = importlib.import_module(alias.name)
            top = alias.name.partition(".")[0]
            self.names[alias.asname or top] = module if alias.asname else importlib.import_module(top)

    def visit_ImportFrom(self, node):
        for alias in node.names:
            module = importlib.import_module(node.module)
            if not hasattr(module, alias.name):
                try:
                    importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError as error:
                    self.complain(node, str(error))
                    continue
            self.names[alias.asname or alias.name] = getattr(module, alias.name)

    def visit_Assign(self, node):
        self.visit(node.value)
        for target in node.targets:
            several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=True) if several else [(target, node.value)]
            for name, value in [(name, self.value(value)) for name, value in pairs]:
                self.visit(name)
                if isinstance(name, (ast.Name, ast.Attribute)):
                    self.names[ast.unparse(name)] = value

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Store):
            self.names.pop(node.id, None)

    def visit_ClassDef(self, node):
        outside = dict(self.names)
        of = getattr(self.classes, node.name, None)
        self.names["self"] = Made(of) if of_the_repository(of) else None
        self.generic_visit(node)
        self.names = outside

    def visit_arg(self, node):
        if node.arg != "self":
            self.names.pop(node.arg, None)
        if node.arg == "pack":
            self.names["pack"] = self.pack

    def visit_Attribute(self, node):
        self.value(node)
        self.generic_visit(node)

    def visit_Call(self, node):
        self.value(node)
        self.generic_visit(node)

    def in_scope(self, node):
        """A function's names are its own, but what it keeps in `self` is there for the next one."""
        outside = dict(self.names)
        for name in ("args", "generators"):         # what they bind is bound in all the rest
            given = getattr(node, name, [])
            for each in given if isinstance(given, list) else [given]:
                self.visit(each)
        self.generic_visit(node)
        self.names = outside | {name: value for name, value in self.names.items() if name.startswith("self.")}

    visit_FunctionDef = visit_Lambda = visit_ListComp = visit_GeneratorExp = visit_DictComp = visit_SetComp = in_scope


def wrong_in(text, pack, classes=None):
    reader = Reader(pack, classes)
    reader.names["pack"] = pack
    reader.visit(ast.parse(text))
    return list(dict.fromkeys(reader.wrong))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_benchmark_asks_for_is_there(file, pack, monkeypatch):
    for folder in HELPERS:
        monkeypatch.syspath_prepend(str(TESTS / folder))
    assert wrong_in(file.read_text(encoding="utf-8"), pack, importlib.import_module(file.stem)) == []


@pytest.mark.parametrize("stale", [
    'self.part("studio.learning.run")',
    'self.part(f"studio.{name}")',
    'pack.nodes.training.stop.request_stop("1")',
    't = pack.nodes.training\ndef ours():\n    t.stop_and_keep.request_stop("1")',
    'self.tune = self.part("studio.tuning.block_tuning")\ndef f(self):\n    self.tune.Tuner(1)',
    'goal = self.part("studio.tuning.block_tuning").TuningGoal(*seven)\ngoal._replace(held=3)',
    'goal = self.part("studio.tuning.block_tuning").TuningGoal(*seven)\ngoal.held_samples',
    'class Reader:\n    def f(self):\n        self.room("critique")',
])
def test_a_stale_name_is_found(stale, pack):
    assert len(wrong_in(stale, pack, sys.modules[__name__])) == 1
