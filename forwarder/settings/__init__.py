"""The configuration: ``FORWARDER_…`` variables in, validated settings out. The only reader of both."""

from forwarder.settings.environment import read_environment

__all__ = ["read_environment"]
