"""The critics' cards: complete, in order, and refused with a sentence where they are not."""
import json

import pytest

TEN = ["albers", "arnheim", "dow", "gombrich", "hildebrand", "kandinsky", "klee", "ruskin", "woelfflin", "worringer"]


@pytest.fixture(scope="module")
def cards(pack):
    return pack.nodes.critique.rubric.critic_cards


@pytest.fixture
def written(tmp_path, cards):
    """Reads a card that differs from Klee's in what is given."""
    def read(name="klee.json", **changes):
        fields = json.loads((cards.FOLDER / "klee.json").read_text(encoding="utf-8"))
        path = tmp_path / name
        path.write_text(json.dumps({**fields, **changes}), encoding="utf-8")
        return cards.read(path)
    return read


def concept(**changes):
    return {"id": "X1", "name": "Point", "kind": "unipolar", "question": "Where?", "low": "no", "high": "yes",
            "source": "I", "measured": [], **changes}


def test_the_ten_critics_are_there(cards):
    assert list(cards.cards()) == TEN


@pytest.mark.parametrize("name", TEN)
def test_a_card_says_where_it_comes_from_and_asks_questions(cards, name):
    card = cards.cards()[name]
    assert 1850 < card.year < 1980 and card.book and card.edition and len(card.thesis) > 60
    assert 5 <= len(card.concepts) <= 8
    assert all(c.question.endswith("?") and c.low and c.high and c.source for c in card.concepts)


def test_no_concept_of_any_critic_has_the_id_of_another(cards):
    ids = [concept.id for card in cards.cards().values() for concept in card.concepts]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", TEN)
def test_cards_name_columns_of_the_published_tables_or_of_the_pack(pack, cards, name):
    known = {*PUBLISHED, *pack.nodes.critique.measures.MEASURES}
    assert not [s.column for c in cards.cards()[name].concepts for s in c.signals if s.column not in known]


def test_woelfflin_has_five_pairs_and_nothing_that_counts(cards):
    concepts = cards.card("Wölfflin").concepts
    assert len(concepts) == 5 and all(concept.bipolar for concept in concepts)


@pytest.mark.parametrize("name", ["Wölfflin", "woelfflin", "Wolfflin", " heinrich WÖLFFLIN "])
def test_a_critic_is_found_however_the_name_is_typed(cards, name):
    assert cards.card(name).id == "woelfflin"


def test_an_unknown_critic_is_answered_with_the_list(cards):
    with pytest.raises(ValueError, match=r'^critic: expected one of Josef Albers, .*, got "Greenberg"$'):
        cards.card("Greenberg")


@pytest.mark.parametrize("changes, sentence", [
    ({"year": "1925"}, "klee.json: the card: year: expected int, got '1925'"),
    ({"id": "paul"}, 'klee.json: id: expected "klee", the name of the file, got "paul"'),
    ({"concepts": []}, "klee.json: concepts: expected at least one, each id once, got none"),
    ({"concepts": [concept(), concept(name="Line")]},
     "klee.json: concepts: expected at least one, each id once, got x1, x1"),
    ({"concepts": [concept(kind="both")]}, 'klee.json: concept X1: kind: expected unipolar or bipolar, got "both"'),
    ({"concepts": [concept(question="")]}, "klee.json: concept X1: question: expected str, got ''"),
    ({"concepts": [concept(measured=[{"column": "Balance"}])]},
     "klee.json: concept X1: measured Balance: expected a reading or a target, and within and weight at most, got "
     "column"),
    ({"concepts": [concept(measured=[{"column": "Balance", "reading": "more"}])]},
     'klee.json: concept X1: reading: expected high or low, got "more"'),
    ({"concepts": [concept(measured=[{"column": "Balance", "target": 120}])]},
     "klee.json: concept X1: target: expected a number from 0 to 100, got 120"),
    ({"concepts": [concept(kind="bipolar", measured=[{"column": "Balance", "target": 20}])]},
     "klee.json: concept X1: measured: a position between two poles takes high or low, not a target"),
])
def test_a_faulty_card_is_refused_with_its_file_and_the_fault(written, changes, sentence):
    with pytest.raises(ValueError) as error:
        written(**changes)
    assert str(error.value) == sentence


def test_what_is_not_json_is_refused(tmp_path, cards):
    (tmp_path / "klee.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="^klee.json: "):
        cards.read(tmp_path / "klee.json")


PUBLISHED = (
    "Image size (pixels)", "Aspect ratio", "RMS contrast", "Luminance entropy", "Complexity", "Edge density",
    "Color entropy", "mean R channel", "mean G channel", "mean B channel (RGB)", "mean L channel", "mean a channel",
    "mean b channel (Lab)", "mean H channel", "mean S channel", "mean V channel", "std R channel", "std G channel",
    "std B channel", "std L channel", "std a channel", "std b channel (Lab)", "std H channel", "std S channel",
    "std V channel", "Mirror symmetry", "DCM distance", "DCM x position", "DCM y position", "Balance",
    "CNN symmetry left-right", "CNN symmetry up-down", "CNN symmetry left-right & up-down", "Slope Redies",
    "Slope Spehar", "Slope Mather", "Fourier sigma", "2D Fractal dimension", "3D Fractal dimension",
    "Self-similarity (PHOG)", "Self-similarity (CNN)", "Anisotropy", "Homogeneity", "1st-order EOE", "2nd-order EOE",
    "Sparseness", "Variability")
