"""The Splunk app: every key is one that Splunk knows, every field one that an event has; Splunk's own judge agrees."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest

from forwarder import __version__
from forwarder.formats import FORMATS
from forwarder.record import Origin, parse_event
from forwarder.simulator import World
from forwarder.sinks.splunk_hec import SplunkHecSettings
from tests.peers.appinspect import inspect
from tests.sinks.contract import make_items

APP = Path(__file__).parents[2] / "deploy" / "splunk" / "TA-persona-audit"
SETTINGS = orjson.loads((Path(__file__).parent / "splunk_settings.json").read_bytes())
SOURCETYPE = SplunkHecSettings.model_fields["sourcetype"].default
EXTRACTED = 5_000
"""Bytes of a JSON event from whose beginning Splunk extracts fields (limits.conf.spec, ``extraction_cutoff``)."""

CIM = {
    "persona_change": "action change_type command dest dvc object object_attrs object_category object_id src status "
    "user vendor_product result",
    "persona_access": "action app dest object object_attrs object_category object_id object_size src user user_name "
    "vendor_account vendor_product",
}
"""Event type to the fields that its data model demands (Change, Data Access)."""

OF_SPLUNK = {"_time", "_indextime", "sourcetype", "eventtype", "index"}

Stanzas = dict[str, dict[str, str]]


def stanzas(name: str) -> Stanzas:
    """Read a file of settings; a key that is given twice in a stanza is a mistake."""
    found: Stanzas = {}
    stanza: dict[str, str] = {}
    path = next(APP.glob(f"*/{name}"))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            assert line.endswith("]"), f"{name}:{number}"
            assert line[1:-1] not in found, f"{name}:{number} opens a stanza again"
            stanza = found[line[1:-1]] = {}
            continue
        key, equals, value = line.partition("=")
        assert equals, f"{name}:{number} is no setting"
        assert key.strip() not in stanza, f"{name}:{number} sets a key again"
        stanza[key.strip()] = value.strip()
    return found


FILES = [*sorted(path.name for path in APP.glob("*/*.conf")), "default.meta"]
PROPS = stanzas("props.conf")[SOURCETYPE]
SEARCHES = stanzas("savedsearches.conf")


def known(key: str, file: str) -> bool:
    """Whether the specification of *file* has *key*; <...> in it stands for any name."""
    patterns = (re.sub(r"<[^>]*>", "\0", name) for name in SETTINGS[file])
    return any(re.fullmatch(re.escape(one).replace("\0", r"[\w.]+"), key) for one in patterns)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give the fields that Splunk extracts from a JSON object, by their dotted names."""
    for key, inner in value.items():
        name = f"{path}.{key}" if path else key
        if isinstance(inner, dict):
            yield from flat(inner, name)
        yield name, inner


def simulated() -> list[dict[str, Any]]:
    """Make real events of a simulated organization at work."""
    origin = Origin("persona", "org_1", "env_1")
    world = World(records=400)
    made = []
    for resource, _ in world.slice(0, 400):
        made.append(orjson.loads(FORMATS["json"](parse_event(resource, origin=origin, collected_at=0))))
    return made


EVENTS = simulated()
FIELDS = {name for event in EVENTS for name, _ in flat(event)}
ALIASES = {
    value.split(" AS ")[1].strip(): value.split(" AS ")[0].strip() for key, value in PROPS.items() if "ALIAS" in key
}
DERIVED = {key.removeprefix("EVAL-") for key in PROPS if key.startswith("EVAL-")} | set(ALIASES)


def queries() -> Iterator[tuple[str, str]]:
    """Give every search of the app, with where it stands."""
    for name, stanza in SEARCHES.items():
        yield name, stanza["search"]
    for name, stanza in stanzas("eventtypes.conf").items():
        yield name, stanza["search"]
    for path in APP.glob("default/data/ui/views/*.xml"):
        for query in ET.parse(path).iter("query"):
            assert query.text
            yield path.name, query.text


@pytest.mark.parametrize("file", FILES)
def test_every_key_is_one_that_splunk_knows(file: str) -> None:
    """AppInspect takes a misspelt one, and Splunk ignores it."""
    assert f"{file}" in SETTINGS
    for stanza, settings in stanzas(file).items():
        for key in settings:
            assert known(key, file), f"[{stanza}] {key}"


@pytest.mark.parametrize("key", ["KV_MODEX", "EVAL", "EVAL-a b", "TIME_PREFIXES", "fieldalias-x"])
def test_a_misspelt_key_is_found(key: str) -> None:
    assert not known(key, "props.conf")


def test_json_is_read_once_at_search_time_and_whole() -> None:
    """With INDEXED_EXTRACTIONS besides, every value would be there twice."""
    assert PROPS["KV_MODE"] == "json"
    assert "INDEXED_EXTRACTIONS" not in PROPS
    assert int(PROPS["TRUNCATE"]) >= 1 << 20
    assert PROPS["SHOULD_LINEMERGE"] == "false"


@pytest.mark.parametrize("text", ["plain", 'quote " and "occurred_at":"1999-01-01T00:00:00.000Z"'])
def test_the_time_is_found_and_is_the_events_own(text: str) -> None:
    """The first match counts: whatever a customer wrote stands behind it."""
    [item] = make_items(1, text=text)
    written = item.body.decode()
    found = re.search(PROPS["TIME_PREFIX"], written)
    assert found is not None
    stamp = written[found.end() : found.end() + int(PROPS["MAX_TIMESTAMP_LOOKAHEAD"])]
    assert stamp.startswith("2026-03-01T09:15:02.331Z")
    assert PROPS["TIME_FORMAT"] == "%Y-%m-%dT%H:%M:%S.%3N%Z"


def test_every_field_that_is_read_is_one_that_an_event_has() -> None:
    for name in ALIASES.values():
        assert name in FIELDS, name
    for key, value in PROPS.items():
        if key.startswith("EVAL-"):
            for name in re.findall(r"'([^']+)'", value):
                assert name in FIELDS, f"{key}: {name}"


def test_no_eval_reads_what_another_makes() -> None:
    """They run side by side, after the aliases."""
    evals = {key.removeprefix("EVAL-") for key in PROPS if key.startswith("EVAL-")}
    for key, value in PROPS.items():
        if key.startswith("EVAL-"):
            bare = re.sub(r'"(?:\\.|[^"\\])*"|\'[^\']*\'', "", value)
            assert not evals & set(re.findall(r"[a-z_]+\b(?!\()", bare)), key


def test_every_field_of_a_search_exists() -> None:
    """Extracted, derived, Splunk's own, or made by the search itself."""
    for where, query in queries():
        bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', query)
        made = set(re.findall(r"\bAS (\w+)", bare)) | set(re.findall(r"\beval (\w+)=", bare))
        used = set(re.findall(r"([\w.]+)(?:>=|<=|=|>|<)", bare)) - {"span"}
        for listed in re.findall(r"\b(?:by|table|dedup) ([\w., ]+)", bare):
            used |= {one for one in re.split(r"[,\s]+", listed) if one}
        used |= set(re.findall(r"\b(?:dc|values|earliest|latest)\(([\w.]+)\)", bare))
        used -= {"-"}
        unknown = used - FIELDS - DERIVED - OF_SPLUNK - made
        assert not unknown, f"{where}: {unknown}"


def test_every_field_stands_where_splunk_still_extracts_it() -> None:
    """Also where paths, agents and parameters are long."""
    [item] = make_items(1, size=200_000)
    event: dict[str, Any] = orjson.loads(item.body)
    event["request"]["path"] = "/" + "p" * 800
    event["request"]["route"] = "/" + "r" * 800
    event["client"]["user_agent"] = "u" * 800
    head = orjson.dumps(event)[:EXTRACTED].decode()
    read = set(ALIASES.values()) | {
        name for key, value in PROPS.items() if key.startswith("EVAL-") for name in re.findall(r"'([^']+)'", value)
    }
    for name in read:
        assert f'"{name.rpartition(".")[2]}":' in head, name


def test_changes_and_accesses_have_every_field_that_the_common_information_model_demands() -> None:
    for fields in CIM.values():
        assert set(fields.split()) <= DERIVED
    tags = stanzas("tags.conf")
    assert set(tags["eventtype=persona_change"]) == {"change", "audit"}
    assert set(tags["eventtype=persona_access"]) == {"data", "access"}
    assert {name.removeprefix("eventtype=") for name in tags} <= stanzas("eventtypes.conf").keys()


def object_of(event: dict[str, Any]) -> tuple[str, str]:
    """Give category and id of what a request is about, by the expressions of the app."""
    category = re.findall(r'"((?:\\.|[^"\\])*)"', PROPS["EVAL-object_category"])
    test, pattern = re.findall(r'"((?:\\.|[^"\\])*)"', PROPS["EVAL-object_id"])[:2]
    path = event["request"]["path"] or ""
    found = re.sub(pattern, r"\1", path) if re.search(test, path) else "unknown"
    return re.sub(category[0], category[1], event["request"]["route"] or ""), found


@pytest.mark.parametrize(
    ("route", "path", "category", "name"),
    [
        (
            "/api/internal/dashboard/v1/cases/{id}",
            "/api/internal/dashboard/v1/cases/case_ABC123",
            "cases",
            "case_ABC123",
        ),
        ("/api/v1/cases/{id}/approve", "/api/v1/cases/case_A1/approve", "approve", "case_A1"),
        ("/api/v1/inquiries", "/api/v1/inquiries?page=2", "inquiries", "unknown"),
        ("/a/{id}/notes/{id}", "/a/acct_1/notes/note_2?x=case_9", "notes", "note_2"),
    ],
)
def test_what_a_request_is_about_is_read_from_its_path(route: str, path: str, category: str, name: str) -> None:
    assert object_of({"request": {"route": route, "path": path}}) == (category, name)


def test_what_simulated_requests_are_about_is_found() -> None:
    found = [object_of(event) for event in EVENTS if isinstance(event["request"]["path"], str)]
    assert all(category and "{" not in category and "/" not in category for category, _ in found)
    assert any(name != "unknown" for _, name in found)


def test_every_detection_is_off_and_says_what_else_may_look_like_it() -> None:
    """Each drops repetitions first: an event may have been sent twice."""
    assert len(SEARCHES) >= 10
    for name, settings in SEARCHES.items():
        assert settings["disabled"] == "1", name
        assert "False positives:" in settings["description"], name
        assert "dedup id" in settings["search"], name
        assert settings["search"].startswith("`persona_audit`"), name
        assert len(settings["cron_schedule"].split()) == 5, name
        produced = re.split(r"[,\s]+", settings["alert.suppress.fields"])
        assert all(re.search(rf"\b{field}\b", settings["search"]) for field in produced), name


def test_the_app_is_about_our_source_type_and_of_our_version() -> None:
    assert stanzas("macros.conf")["persona_audit"]["definition"] == f'sourcetype="{SOURCETYPE}"'
    for name, settings in stanzas("eventtypes.conf").items():
        assert f'sourcetype="{SOURCETYPE}"' in settings["search"], name
    app = stanzas("app.conf")
    manifest = orjson.loads((APP / "app.manifest").read_bytes())["info"]["id"]
    assert {app["launcher"]["version"], app["id"]["version"], manifest["version"]} == {__version__}
    assert {app["package"]["id"], app["id"]["name"], manifest["name"]} == {APP.name}


def test_the_dashboard_is_a_form_whose_searches_all_have_a_time() -> None:
    [view] = APP.glob("default/data/ui/views/*.xml")
    root = ET.parse(view).getroot()
    assert (root.tag, root.get("version")) == ("form", "1.1")
    for search in root.iter("search"):
        assert search.findtext("earliest") == "$time.earliest$"
    shown = {one.get("name") for one in ET.parse(APP / "default/data/ui/nav/default.xml").iter("view")}
    assert view.stem in shown


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.timeout(700)
def test_splunks_own_judge_finds_nothing(tmp_path: Path) -> None:
    summary = inspect(APP, tmp_path)["summary"]
    print(summary)
    assert summary["success"] > 50
    assert (summary["error"], summary["failure"], summary["warning"]) == (0, 0, 0)
