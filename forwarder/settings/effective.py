"""The configuration that is in force, written as an env file that means the same."""

import re
from collections.abc import Iterator

from forwarder.settings.loading import Settings
from forwarder.settings.reading import MASK, Loaded
from forwarder.settings.sections import is_secret
from forwarder.settings.written import quoted, written

_PASSWORD = re.compile(r"(://[^/@:,\s]*:)[^@,\s]*@")


def effective_text(settings: Settings) -> str:
    """Return every variable that this configuration knows, one ``NAME=value`` a line.

    What was not given stands in a comment with its default. A secret is masked; one from a file is shown as its path.
    """
    lines = ["# A line that starts with # shows a default."]
    for loaded in settings.sections:
        lines += ["", f"# {loaded.section.title}", *_lines(loaded)]
    return "\n".join(lines) + "\n"


def _lines(loaded: Loaded) -> Iterator[str]:
    for field, info in loaded.section.fields():
        variable, given = loaded.section.variable(field), field in loaded.model.model_fields_set
        if field in loaded.files:
            yield f"{variable}_FILE={quoted(str(loaded.files[field]))}"
        elif is_secret(info):
            yield f"{variable}={MASK}" if given else f"# {variable}="
        else:
            value = quoted(_without_password(written(getattr(loaded.model, field), info)))
            yield f"{variable}={value}" if given else f"# {variable}={value}"


def _without_password(text: str) -> str:
    """Mask passwords in URLs; none of our own sinks takes one, a sink of somebody else's may."""
    return _PASSWORD.sub(rf"\g<1>{MASK}@", text)
