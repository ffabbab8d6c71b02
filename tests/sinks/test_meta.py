"""No sink without the contract suite."""

import importlib
from pathlib import Path

from forwarder.sinks import sink_class, sink_kinds
from tests.sinks.contract import SinkContract
from tests.sinks.installed import installed_plugin


def test_every_kind_that_can_be_configured_is_held_to_the_contract(tmp_path: Path) -> None:
    """A class named ``Test…`` in ``tests/sinks/test_*.py`` inherits the suite for each kind, a package's included."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.sinks.{file.stem}")
    held = {one.kind for one in _descendants(SinkContract) if one.__name__.startswith("Test") and hasattr(one, "kind")}
    with installed_plugin(tmp_path / "site"):
        assert set(sink_kinds()) - held == set()
        assert held - set(sink_kinds()) == set(), "a suite for a kind that nobody can configure"


def test_no_suite_takes_a_test_away() -> None:
    """What the contract demands is not overridden by a sink's own class."""
    demanded = {name for name in vars(SinkContract) if name.startswith("test_")}
    for one in _descendants(SinkContract):
        assert not demanded & set(vars(one)), f"{one.__qualname__} replaces a test of the contract"


def test_every_kind_loads() -> None:
    """And says of itself what it is called."""
    for kind in sink_kinds():
        assert sink_class(kind).kind == kind


def _descendants(root: type[SinkContract]) -> set[type[SinkContract]]:
    direct = set(root.__subclasses__())
    return direct.union(*(_descendants(one) for one in direct))
