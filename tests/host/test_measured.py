"""MEASURED.md against the committed tables of the benchmarks that it names."""
import re
from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[2]
RESULTS = PACK / "tests" / "benchmarks" / "results"
ROWS = [cells for line in (PACK / "MEASURED.md").read_text(encoding="utf-8").splitlines()
        if len(cells := line.strip("| ").split(" | ")) == 3 and "`" in cells[2]]


def tables(row):
    """The tables that the row's commands write."""
    commands = [words.split() for words in re.findall("`(bench [^`]+)`", row[2])]
    return [RESULTS / f"{words[1]}{'_painter' * ('--painter' in words)}.md" for words in commands]


def decimals(text):
    """What is written with a decimal point, without what was asked for and what is a version."""
    text = re.sub(r"\(?asked:? [\d.]+|\d+\.\d+\.\d[\d.]*", "", text.replace(",", ""))
    return re.findall(r"(?<![\w.])\d*\.\d+", text)


def rounds_to(written, number):
    """Whether a number of a table, or the share that it is in per cent, is what is written, in its digits."""
    half = 0.51 * 10.0 ** -len(written.partition(".")[2])
    return any(abs(abs(number) * scale - float(written)) <= half for scale in (1, 100, 0.01))


FROM_TABLES = [row for row in ROWS if tables(row) and not re.search("`test |by hand", row[1] + row[2])]


@pytest.mark.parametrize("row", FROM_TABLES, ids=lambda row: row[0][:40])
def test_figures_are_those_of_the_tables(row):
    text = "\n".join(table.read_text(encoding="utf-8") for table in tables(row)).replace(",", "")
    numbers = [float(number) for number in re.findall(r"(?<![\w.])\d*\.?\d+(?:e-?\d+)?", text)]
    assert [said for said in decimals(row[1]) if not any(rounds_to(said, number) for number in numbers)] == []
    pair = r"(\d*\.?\d+) ± (\d*\.?\d+)"
    pairs = [tuple(map(float, found)) for found in re.findall(pair, text)]
    assert [said for said in re.findall(pair, row[1])
            if not any(all(map(rounds_to, said, found)) for found in pairs)] == []


def test_every_table_has_a_row_and_every_row_its_table():
    named = {table for row in ROWS for table in tables(row)}
    assert len(FROM_TABLES) > 25 and named == set(RESULTS.glob("*.md"))


def test_what_a_table_says_of_its_age_stands_in_its_row():
    notes = {table: note[1] for table in RESULTS.glob("*.md")
             if (note := re.search(r"^\*\*(.+?)\*\*", table.read_text(encoding="utf-8"), re.MULTILINE))}
    old = {table: age[0] for table, note in notes.items() if (age := re.search(r"stale|until \d+ \w+", note))}
    assert len(old) >= 3
    assert [table.name for table, age in old.items()
            if not any(age in " ".join(row) for row in ROWS if table in tables(row))] == []
