"""What the text languages share: length, notes, statements, patterns with stars, and reading forward."""
import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def syntax(pack):
    return pack.nodes.shared.text_syntax


def test_statements_stand_between_semicolons_and_new_lines_without_notes(syntax):
    assert syntax.statements(" a=1; b = 2 # c; d\n\n;e", "blocks") == ["a=1", "b = 2", "e"]


def test_a_text_is_as_long_as_the_limit_at_most(syntax):
    assert syntax.lines("x" * 20_000, "blocks") == ["x" * 20_000]
    with pytest.raises(ValueError, match="^blocks: expected at most 20000 characters, got 20001$"):
        syntax.statements("x" * 20_001, "blocks")


def test_what_is_quoted_is_short_and_can_be_written_to_any_file(syntax):
    assert syntax.shorten("a" * 121) == "a" * 117 + "..." and syntax.shorten("a" * 120) == "a" * 120
    assert syntax.shorten("a\ud800b\0").encode() == "a\ufffdb\ufffd".encode()


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_star_stands_for_any_characters(syntax, pattern, name):
    assert syntax.fits(pattern, name) == fnmatchcase(name, pattern)


def test_many_stars_are_read_as_quickly_as_few(syntax):
    assert not syntax.fits("*a" * 5000 + "*b", "a" * 5000) and syntax.fits("*a" * 5000, "a" * 5000)


def test_a_reader_takes_what_stands_next_and_nothing_else(syntax):
    reader = syntax.Reader("name = 2.5 !")
    assert reader.until(re.compile("=")) == "name" and not reader.take(re.compile("x"))
    assert reader.take(re.compile("=")) and reader.take(syntax.NUMBER)[0] == "2.5" and not reader.ended
    assert reader.rest == "!" and reader.take(re.compile("!")) and reader.ended
