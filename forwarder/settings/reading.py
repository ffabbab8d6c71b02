"""From variables to validated models: pydantic-settings with a source of our own, and its errors in our words.

All sections become the fields of one ``BaseSettings`` class, made for the environment at hand, so that one validation
finds every problem there is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from forwarder.errors import Problem
from forwarder.secret import Secret
from forwarder.settings.secret_file import SecretFile
from forwarder.settings.sections import Section, Variable

MASK = str(Secret(""))

_RECOGNIZABLE = 4
"""Characters from which on a secret is looked for in messages; a shorter one would blot out ordinary words."""


@dataclass(slots=True)
class Given:
    """What the environment gives to one section: field to text or :class:`Secret`, and what is wrong already."""

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A section with its validated model. *files* are the paths of secrets that were given as files, by field."""

    section: Section
    model: Any
    files: Mapping[str, Path]


def given_to(section: Section, environ: Mapping[str, str]) -> Given:
    """Collect what *environ* gives to *section*. An empty value is as good as none (charts and Compose write them)."""
    given = Given()
    for variable in section.variables():
        text = environ.get(variable.name, "")
        if text.strip():
            _take(given, section, variable, text)
    return given


def _take(given: Given, section: Section, variable: Variable, text: str) -> None:
    name, known_as = variable.field, section.variable(variable.field)
    if not variable.is_secret:
        given.values[name] = text.strip()
    elif not variable.is_file:
        # A secret made from a file ends with that file's newline more often than any secret ends with one.
        given.values[name] = Secret(text.rstrip("\r\n"))
        if text == MASK:
            given.problems.append(Problem(known_as, "is the mask that stands for a secret; give the secret itself"))
    elif name in given.values:
        given.problems.append(Problem(known_as, f"is given twice, here and as {variable.name}; take one away"))
    else:
        try:
            given.values[name] = Secret(SecretFile(variable.name, Path(text)))
            given.files[name] = Path(text)
        except ValueError as error:
            given.values[name] = Secret("")  # so that it is not also reported as missing
            given.problems.append(Problem(variable.name, str(error)))


class _SectionSource(PydanticBaseSettingsSource):
    """Each field of the settings class is one section; its value is what was given to that section."""

    def __init__(self, settings_cls: type[BaseSettings], given: Mapping[str, Given]) -> None:
        super().__init__(settings_cls)
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 # the base's signature
        return self._given[field_name].values, field_name, True

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        return {name: self.get_field_value(info, name)[0] for name, info in fields.items()}


def read(sections: Mapping[str, Section], environ: Mapping[str, str]) -> tuple[dict[str, Loaded], list[Problem]]:
    """Validate *sections* (by a key of the caller's) against *environ*.

    :returns: the loaded sections, none of them if anything is wrong, and every problem
    """
    # Field names of a pydantic model are restricted; a section's key is not.
    names = {f"section_{number}": key for number, key in enumerate(sections)}
    given = {name: given_to(sections[key], environ) for name, key in names.items()}
    problems = [problem for each in given.values() for problem in each.problems]
    try:
        models = _configuration(names, sections, given)()
    except ValidationError as error:
        blamed = {problem.variable.removesuffix("_FILE") for problem in problems}
        secrets = _revealed(given)
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            section = sections[names[str(detail["loc"][0])]]
            problem = _translated(section, detail, secrets)
            if problem.variable not in blamed:
                problems.append(problem)
        return {}, problems
    if problems:
        return {}, problems
    loaded = {key: Loaded(sections[key], getattr(models, name), given[name].files) for name, key in names.items()}
    return loaded, []


def _configuration(
    names: Mapping[str, str],
    sections: Mapping[str, Section],
    given: Mapping[str, Given],
) -> type[BaseSettings]:
    class Configuration(BaseSettings):
        model_config = ConfigDict(frozen=True, hide_input_in_errors=True)  # type: ignore[assignment] # a subset

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # the base's signature
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Read our own source alone: what the others read could disagree with it."""
            return (_SectionSource(settings_cls, given),)

    fields: dict[str, Any] = {name: (sections[key].model, ...) for name, key in names.items()}
    return create_model("Configuration", __base__=Configuration, **fields)


def _translated(section: Section, detail: ErrorDetails, secrets: frozenset[str]) -> Problem:
    """One error of pydantic as a problem of a variable, and without any secret that a validator may have quoted."""
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message.replace("Input should be", "must be", 1)
    for secret in secrets:
        message = message.replace(secret, MASK)
    if len(detail["loc"]) > 1:
        name = str(detail["loc"][1])
        return Problem(section.variable(name), _missing(section, name) if detail["type"] == "missing" else message)
    return _of_the_model(section, message)


def _of_the_model(section: Section, message: str) -> Problem:
    """Blame the SETTING with which a validator of the whole model begins its message."""
    match = re.fullmatch(r"([A-Z][A-Z0-9_]*):? (.*)", message, re.DOTALL)
    if match is not None and match[1].lower() in section.model.model_fields:
        return Problem(section.variable(match[1]), match[2])
    return Problem(f"{section.prefix}*", message)


def _missing(section: Section, name: str) -> str:
    files = [each.name for each in section.variables() if each.field == name and each.is_file]
    return f"is required; give it, or {files[0]} with the path of a file that holds it" if files else "is required"


def _revealed(given: Mapping[str, Given]) -> frozenset[str]:
    """Return every secret that is long enough to be recognized in a sentence."""
    values: list[Any] = [value for each in given.values() for value in each.values.values()]
    texts = [value.reveal() for value in values if isinstance(value, Secret)]
    return frozenset(text for text in texts if len(text) >= _RECOGNIZABLE)
