"""Which pictures of a table a text chooses, and in which order."""
from types import SimpleNamespace

import numpy as np
import pytest

NAN = float("nan")
COLUMNS = {"score": [10, 50, 90, 70], "criterion Balance": [1, 2, 3, 4], "Balance": [40, 30, 20, 10],
           "Symmetry left-right": [0.1, 0.9, NAN, 0.5], "Harmony i": [1, 2, 3, 4], "Harmony I": [4, 3, 2, 1]}


@pytest.fixture
def choose(pack):
    table = SimpleNamespace(names=["a", "b", "c", "d"], columns=list(COLUMNS), folder=SimpleNamespace(name="mine"),
                            load=lambda columns: None, numbers=lambda name: np.array(COLUMNS[name], float))
    return lambda text: pack.nodes.shared.picture_choice.choose(table, text)


@pytest.mark.parametrize("text, names", [
    ("", "cdba"), ("score > 50", "cd"), ("score >= 50; score < 90", "db"), ("balance > 2", "cd"),
    ("measure balance > 20", "ba"), ("Balance = 1", "dcba"), ("Balance = 1; first = 2", "dc"),
    ("measure Balance = 1; score = 0.5", "abcd"), ("symmetry left-right < 5", "dba"),
    ("symmetry left-right = 1", "bdac"),
    ("Harmony i = 1", "dcba"), ("Harmony I = 1", "abcd"), ("score > -1; first = 1 # a note", "c")])
def test_comparisons_take_weights_order_and_first_cuts(choose, text, names):
    assert "".join(choose(text).names) == names


@pytest.mark.parametrize("text, said", [
    ("first = 2", " No score in this table: they are in the order of their names; order them by what was measured"),
    ("score = 1", " No score in this table: they are in the order"), ("Balance = 1; first = 2", ""), ("", ""),
    ("first = 4", ""), ("Balance = 1; score = 1", " No score in this table: it orders nothing.")])
def test_an_order_by_what_no_picture_has_is_said(choose, monkeypatch, text, said):
    monkeypatch.setitem(COLUMNS, "score", [NAN] * 4)
    note = choose(text).note
    assert said in note and (said or "No score" not in note)


@pytest.mark.parametrize("text, sentence", [
    ("score", "expected NAME > 60"), ("score > high", "expected NAME > 60"), ("> 3", "expected NAME > 60"),
    (f"first = {'9' * 400}", "whole number"), ("first = 0", "whole number"),
    ("first = 1.5", "whole number"), ("scor > 3", "close: score"),
    ("score > 99", "got none of 4"), ("score > 3 4", "expected NAME > 60")])
def test_what_cannot_be_read_is_quoted(choose, text, sentence):
    with pytest.raises(ValueError, match=f"^where: .*{sentence}"):
        choose(text)


@pytest.mark.parametrize("table", ["~nobody_of_this_name/x", "x" * 5000, "../x", "a\0b", "mine"])
def test_a_table_that_is_none_is_one_sentence(pack, tmp_path, table):
    (tmp_path / "galleries" / "mine").mkdir(parents=True)
    (tmp_path / "galleries" / "mine" / "gallery.json").write_text("{}")
    with pytest.raises(ValueError, match="^table: expected "):
        pack.nodes.shared.picture_choice.selected(table, "", lambda: str(tmp_path))
