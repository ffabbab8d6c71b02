"""How the same content is shown differently: sparse fieldsets, the casing of keys, and faults of its shape."""

from collections.abc import Callable, Mapping
from zlib import crc32

from forwarder.record import Json

OF_PAGES = frozenset({"shuffled", "astray", "no-links", "no-list", "nameless"})
"""Faults that a single record cannot have."""

LARGE = frozenset({"too-large", "told-large", "gzip-large"})
"""Faults that a page of one record cannot have: it is no larger than that record."""


def sparse(content: Json, query: Mapping[str, str]) -> Json:
    """Leave only the attributes that ``fields[TYPE]`` asks for."""
    wanted = {name[7:-1]: set(value.split(",")) for name, value in query.items() if name.startswith("fields[")}
    if not wanted:
        return content

    def cut(resource: Json) -> Json:
        keep = wanted.get(resource["type"])
        if keep is None:
            return resource
        return resource | {"attributes": {key: value for key, value in resource["attributes"].items() if key in keep}}

    return _each_resource(content, cut)


def misshapen(content: Json, fault: str) -> Json:
    """The page as some faults have it."""
    match fault:
        case "shuffled":
            return content | {"data": sorted(content["data"], key=lambda resource: crc32(resource["id"].encode()))}
        case "no-links":
            return {key: value for key, value in content.items() if key != "links"}
        case "astray":
            return content | {"links": {"prev": None, "next": "https://[elsewhere/?page%5Bsize%5D=10"}}
        case "no-list":
            return content | {"data": {"records": content["data"]}}
        case "nameless" if content["data"]:
            first, *others = content["data"]
            return content | {"data": [{key: value for key, value in first.items() if key != "id"}, *others]}
    return content


def inflected(content: Json, inflection: str) -> Json:
    """Spell the keys of attributes and relationships another way; values, and what customers wrote, stay."""
    if inflection == "kebab":
        return content

    def spell(key: str) -> str:
        words = key.split("-")
        return "_".join(words) if inflection == "snake" else words[0] + "".join(word.title() for word in words[1:])

    def respell(resource: Json) -> Json:
        parts = {name: {spell(key): value for key, value in resource[name].items()} for name in _parts(resource)}
        return resource | parts

    return _each_resource(content, respell)


def _parts(resource: Json) -> list[str]:
    return [name for name in ("attributes", "relationships") if name in resource]


def _each_resource(content: Json, change: Callable[[Json], Json]) -> Json:
    data = content["data"]
    changed: Json = {"data": [change(one) for one in data] if isinstance(data, list) else change(data)}
    if "included" in content:
        changed["included"] = [change(one) for one in content["included"]]
    return content | changed
