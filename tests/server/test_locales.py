"""Every text of every node is there in every language, none is stale, and code words are as they are."""
import asyncio

import pytest
from client import connect

from devtools import locales


@pytest.fixture(scope="module")
def answers(server):
    async def both():
        async with connect(server.address) as client:
            return await client.get("/object_info"), await client.get("/i18n")
    return asyncio.run(both())


@pytest.fixture(scope="module")
def source(answers):
    return locales.english(answers[0])


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_a_language_has_every_text_and_no_stale_one(language, source):
    assert not locales.missing(source, language) and not locales.stale(source, language)


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_block_names_rubrics_and_files_are_not_translated(language):
    assert not locales.lost_code(language)


@pytest.mark.parametrize("language", locales.LANGUAGES)
def test_the_files_are_what_the_table_makes_and_the_host_serves_them(language, source, answers):
    path = locales.LOCALES / language / "nodeDefs.json"
    assert path.read_text(encoding="utf-8") == locales.text_of(source, language)
    served = answers[1][language]["nodeDefs"]
    assert served["BottegaLoadLora"]["description"] != source["BottegaLoadLora"]["description"]
    assert set(source) <= set(served)
