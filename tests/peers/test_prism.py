"""Our requests and Persona's examples, judged by Persona's own API description."""

from collections.abc import AsyncIterator, Iterator

import pytest

from forwarder.clock import parse_rfc3339
from forwarder.collect.persona import PersonaApi, RateLimit
from forwarder.errors import Misconfigured
from forwarder.record import created_at, record_id, related_id
from tests.collect.scripted import persona
from tests.peers.prism import prism

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def prism_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prism(tmp_path_factory.mktemp("prism")) as url:
        yield url


@pytest.fixture
async def api(prism_url: str) -> AsyncIterator[PersonaApi]:
    source = persona(prism_url)
    yield source
    await source.close()


@pytest.mark.parametrize("cursor", [None, "ual_ABC123XYZ"])
async def test_our_request_for_a_page_passes_and_the_examples_arrive(api: PersonaApi, cursor: str | None) -> None:
    page = await api.fetch_page(cursor, 100)
    assert [record_id(record) for record in page.records] == ["ual_ABC123ABC", "ual_ABC123XYZ"]
    assert {created_at(record) for record in page.records} == {parse_rfc3339("2023-10-03T21:31:05.163Z")}
    assert {related_id(record, "user") for record in page.records} == set(page.users) == {"user_ABC123"}
    assert page.users["user_ABC123"]["attributes"]["email-address"] == "jane@doe.com"
    assert page.next is None
    assert page.rate == RateLimit(300, 299, 42.0)
    assert page.request_id is not None
    assert page.request_id.startswith("req_")
    assert (page.organization_id or "").startswith("org_")
    assert (page.environment_id or "").startswith("env_")


async def test_our_request_for_a_user_passes(api: PersonaApi) -> None:
    """The description's example of a single record names a user and includes none."""
    assert await api.fetch_user("ual_ABC123") is None


async def test_the_judge_refuses_what_breaks_the_description(prism_url: str) -> None:
    """Without this the tests above could pass against a server that takes anything."""
    source = persona(prism_url, version="1999-01-01")
    with pytest.raises(Misconfigured, match=r"FORWARDER_PERSONA_VERSION.*Bad Request"):
        await source.fetch_page(None, 100)
    await source.close()


async def test_a_path_that_the_description_does_not_have_is_for_the_operator(prism_url: str) -> None:
    source = persona(f"{prism_url}/api/v2")
    with pytest.raises(Misconfigured, match="FORWARDER_PERSONA_BASE_URL"):
        await source.fetch_page(None, 100)
    await source.close()
