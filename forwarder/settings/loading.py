"""The whole configuration, read once at the start: every problem is found before anything is opened."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from forwarder.collect.settings import PersonaSettings
from forwarder.delivery.filters import parse_filter
from forwarder.errors import ConfigurationError, Problem
from forwarder.formats import FORMATS, PLANNED
from forwarder.secret import Secret
from forwarder.settings.kubernetes import is_service_link, is_service_variable
from forwarder.settings.names import Named, collisions, parse_entry, problem_of
from forwarder.settings.reading import Loaded, read
from forwarder.settings.sections import (
    HTTP,
    LISTS,
    LOG,
    OF_THE_DAEMON,
    PRIVACY,
    SHUTDOWN,
    STATE,
    HttpSettings,
    LogSettings,
    Section,
    StateSettings,
)
from forwarder.sinks import sink_class, sink_kinds
from forwarder.sinks.base import Sink, SinkSettings
from forwarder.units import parse_list
from forwarder.variables import PREFIX

SOURCE_KINDS = {"persona": PersonaSettings}


@dataclass(frozen=True)
class SourceInstance:
    """One configured source."""

    name: str
    kind: str
    settings: PersonaSettings


@dataclass(frozen=True)
class SinkInstance:
    """One configured sink; ``settings`` is an instance of ``sink_class.settings_model``."""

    name: str
    kind: str
    sink_class: type[Sink[Any]]
    settings: SinkSettings


@dataclass(frozen=True)
class Settings:
    """The validated configuration. Durations are in seconds, sizes in bytes.

    ``sections`` is all of it again in the order of the reference, for those who print it.
    """

    sources: tuple[SourceInstance, ...]
    sinks: tuple[SinkInstance, ...]
    state: StateSettings
    http: HttpSettings
    log: LogSettings
    shutdown_grace: float
    redact: tuple[str, ...]
    pseudonymize: tuple[str, ...]
    pseudonym_key: Secret | None
    sections: tuple[Loaded, ...] = ()

    def secrets(self) -> Iterator[str]:
        """Every secret as it is now, for those who make sure that none is shown."""
        for section in self.sections:
            for field in type(section.model).model_fields:
                value = getattr(section.model, field)
                if isinstance(value, Secret):
                    yield value.reveal()


def load(environ: Mapping[str, str]) -> Settings:
    """Read and validate the configuration.

    :raises ConfigurationError: with every problem, each by the name of its variable
    """
    own = {name: text for name, text in environ.items() if name.startswith(PREFIX) and not is_service_link(name, text)}
    sources, source_problems = _entries("sources", own, list(SOURCE_KINDS))
    sinks, sink_problems = _entries("sinks", own, sink_kinds())
    problems = source_problems + sink_problems + collisions([*sources, *sinks])

    classes, broken = _classes(sinks, problems)
    known = [entry for entry in sources if entry.kind in SOURCE_KINDS]
    sections = {section.title: section for section in OF_THE_DAEMON}
    sections |= {entry.prefix: _section_of_source(entry) for entry in known}
    sections |= {entry.prefix: _section_of_sink(entry, classes[entry]) for entry in classes}
    loaded, found = read(sections, own)
    for entry in classes:
        found += _problems_of_sink(sections[entry.prefix], own, {problem.variable for problem in found})
    problems += _shared_files(classes, own)
    unread = [entry.prefix for entry in [*sources, *broken] if entry.prefix not in sections]
    problems += [*found, *_unknown(own, list(sections.values()), unread)]
    if problems:
        raise ConfigurationError(set(problems))
    return _settled(loaded, known, classes)


def _settled(
    loaded: Mapping[str, Loaded], sources: Sequence[Named], sinks: Mapping[Named, type[Sink[Any]]]
) -> Settings:
    privacy = loaded[PRIVACY.title].model
    return Settings(
        sources=tuple(SourceInstance(each.name, each.kind, loaded[each.prefix].model) for each in sources),
        sinks=tuple(SinkInstance(each.name, each.kind, sinks[each], loaded[each.prefix].model) for each in sinks),
        state=loaded[STATE.title].model,
        http=loaded[HTTP.title].model,
        log=loaded[LOG.title].model,
        shutdown_grace=loaded[SHUTDOWN.title].model.grace,
        redact=tuple(privacy.redact),
        pseudonymize=tuple(privacy.pseudonymize),
        pseudonym_key=privacy.pseudonym_key,
        sections=tuple(loaded.values()),
    )


def _entries(field: str, environ: Mapping[str, str], kinds: Sequence[str]) -> tuple[list[Named], list[Problem]]:
    variable = LISTS.variable(field)
    items = parse_list(environ.get(variable, "").strip() or LISTS.model.model_fields[field].default)
    entries = [parse_entry(item, variable) for item in items]
    problems = [problem for entry in entries if (problem := problem_of(entry, kinds))]
    return entries, problems or ([] if entries else [Problem(variable, "names nothing")])


def _classes(sinks: Sequence[Named], problems: list[Problem]) -> tuple[dict[Named, type[Sink[Any]]], list[Named]]:
    """Load the class of each sink, and say which have none; what cannot be imported joins *problems*."""
    classes: dict[Named, type[Sink[Any]]] = {}
    broken = []
    for entry in sinks:
        try:
            classes[entry] = sink_class(entry.kind)
        except KeyError:
            broken.append(entry)  # a kind that does not exist, which the entry itself was blamed for
        except (ImportError, AttributeError, TypeError) as error:
            broken.append(entry)
            problems.append(Problem(entry.listed_in, f"{entry.name!r}: kind {entry.kind!r} cannot be loaded: {error}"))
    return classes, broken


def _section_of_source(entry: Named) -> Section:
    return Section(f"Source {entry.name}, of kind {entry.kind}", entry.prefix, SOURCE_KINDS[entry.kind])


def _section_of_sink(entry: Named, kind: type[Sink[Any]]) -> Section:
    return Section(f"Sink {entry.name}, of kind {entry.kind}", entry.prefix, kind.settings_model)


def _problems_of_sink(section: Section, environ: Mapping[str, str], blamed: set[str]) -> Iterator[Problem]:
    """What a sink's model cannot know: which formats and starts this version has, and the syntax of filters."""
    form, start, include, exclude = (section.variable(field) for field in ("format", "start", "include", "exclude"))
    wanted = environ.get(form, "").strip() or section.model.model_fields["format"].default
    if wanted in PLANNED and form not in blamed:
        have = ", ".join(sorted(FORMATS))
        yield Problem(form, f"this version does not have the format {wanted} yet, but {have}")
    if environ.get(start, "").strip() not in {"", "now", "all"} and start not in blamed:
        yield Problem(start, "must be now or all; a start at a time is not in this version yet")
    for variable in (include, exclude):
        for text in parse_list(environ.get(variable, "")):
            try:
                parse_filter(text)
            except ValueError as error:
                yield Problem(variable, str(error))


def _shared_files(sinks: Iterable[Named], environ: Mapping[str, str]) -> Iterator[Problem]:
    """Find files that two would write to: the journal and sinks of kind ``file``."""
    journal = STATE.variable("path")
    owners = {Path(environ.get(journal, "").strip() or StateSettings().path).resolve(): journal}
    for variable in (f"{entry.prefix}PATH" for entry in sinks if entry.kind == "file"):
        text = environ.get(variable, "").strip()
        owner = owners.setdefault(Path(text).resolve(), variable) if text else variable
        if owner != variable:
            yield Problem(variable, f"is the same file as {owner}; give each its own")


def _unknown(environ: Mapping[str, str], sections: Sequence[Section], unread: Sequence[str]) -> Iterator[Problem]:
    """Variables that no setting bears, each with the nearest that one does.

    *unread* are prefixes of instances that are wrong themselves: what they would read cannot be known, and is left out.
    """
    known = [variable.name for section in sections for variable in section.variables()]
    names = sorted(section.prefix for section in sections if section.prefix != PREFIX)
    for name, text in environ.items():
        if name in known or name.startswith(tuple(unread)) or is_service_variable(name, text):
            continue
        nearest = get_close_matches(name, known, n=1, cutoff=0.0)[0]
        yield Problem(name, f"no setting has this name; the nearest is {nearest}{_hint(name, names)}")


def _hint(name: str, prefixes: Sequence[str]) -> str:
    if name.startswith(tuple(prefixes)):
        return ""
    return " (a source or sink has settings only while its name is in FORWARDER_SOURCES or FORWARDER_SINKS)"
