"""The configuration: ``FORWARDER_…`` variables in, validated settings out. The only reader of environment and secrets.

::

    read_environment()      the process's variables and an env file
          |
        load()              names ──▶ sections ──▶ pydantic ──▶ Settings, or every problem at once
          |
    effective_text()        Settings as an env file again          reference_text()   the sections as Markdown

Operators rely on what stands in ``docs/configuration.md``, which :mod:`forwarder.settings.reference` generates.
"""

from forwarder.settings.environment import read_environment
from forwarder.settings.loading import Settings, SinkInstance, SourceInstance, load

__all__ = ["Settings", "SinkInstance", "SourceInstance", "load", "read_environment"]
