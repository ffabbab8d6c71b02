"""A stand-in for Persona, which offers none: its sandbox does not serve audit logs.

A seeded organization that makes believable audit logs (:class:`World`), served over HTTP as Persona serves them
(:class:`SimulatedPersona`), with faults on request::

    async with SimulatedPersona(World(records=20_000, late=0.01), faults=["429:0.05", "cut:0.02"]) as persona:
        ...  # FORWARDER_PERSONA_BASE_URL=persona.url, FORWARDER_PERSONA_API_KEY=persona.api_key
        persona.world.append(10)
        persona.faults.next("500", "reset", None)
        persona.behaviour.lost_cursor = "empty"
        persona.stats.by_status
"""

from forwarder.simulator.endpoint import API_KEY, UNPERMITTED_KEY, Behaviour
from forwarder.simulator.faults import Fault, Faults, UnknownFault
from forwarder.simulator.server import SimulatedPersona
from forwarder.simulator.stats import Stats
from forwarder.simulator.world import RETENTION, World

__all__ = [
    "API_KEY",
    "RETENTION",
    "UNPERMITTED_KEY",
    "Behaviour",
    "Fault",
    "Faults",
    "SimulatedPersona",
    "Stats",
    "UnknownFault",
    "World",
]
