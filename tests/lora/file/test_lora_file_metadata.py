"""Trigger words, from whatever a file says of them."""
import json

import pytest


@pytest.fixture(scope="module")
def words(pack):
    return pack.nodes.lora.file.file_metadata.trigger_words


def tags(**counts):
    return {"ss_tag_frequency": json.dumps({"10_ink": counts})}


def test_the_trigger_phrase_wins_over_tags(words):
    assert words({"modelspec.trigger_phrase": " inkstyle, wash "} | tags(house=9)) == "inkstyle, wash"


def test_else_the_tags_that_most_captions_had_most_frequent_first(words):
    counts = {"10_ink": {"ink": 30, "a house": 16, "tree": 4}, "5_wash": {"ink": 2, "rain": 15}}
    assert words({"ss_tag_frequency": json.dumps(counts), "modelspec.trigger_phrase": "None"}) == "ink, a house"


def test_of_captions_that_are_sentences_no_more_than_ten_come(words):
    assert len(words(tags(**{f"sentence {n}": 1 for n in range(40)})).split(", ")) == 10


@pytest.mark.parametrize("metadata", [{}, {"modelspec.title": "ink"}, tags(), tags(ink=0), {"ss_tag_frequency": "["}])
def test_a_file_that_says_nothing_gives_nothing(metadata, words):
    assert words(metadata) == ""
