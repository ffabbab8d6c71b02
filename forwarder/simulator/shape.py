"""How the same content is shown differently: sparse fieldsets, and the casing of keys."""

from collections.abc import Callable, Mapping

from forwarder.record import Json


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
