"""Worlds from seeds that drive the forwarder's pure decisions: breadth, without input or output.

:func:`run` lives through one world and says whether a promise was broken in it, and
``python -m tests.simulation.decisions`` lives through as many as are asked for. What is drawn per world is in
:mod:`~tests.simulation.decisions.plan`, what is promised in :mod:`~tests.simulation.decisions.oracle`, what is the
product's own code in :mod:`~tests.simulation.decisions.life` and :mod:`~tests.simulation.decisions.store`.
"""

from tests.simulation.decisions.verdict import Verdict, live, run

__all__ = ["Verdict", "live", "run"]
