"""What the variables of one source or sink are called, for those who read them and those who name them in an error."""

PREFIX = "FORWARDER_"
"""What every variable of ours begins with."""


def mapped(name: str) -> str:
    """Return *name* as it stands in variables: ``soc-eu`` is ``SOC_EU``."""
    return name.upper().replace("-", "_")


def stem(name: str) -> str:
    """What each variable of the instance called *name* begins with, less the last underscore: ``FORWARDER_SOC_EU``."""
    return f"{PREFIX}{mapped(name)}"
