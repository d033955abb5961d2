"""The help pages against the schemas: every input with what it takes, every output with what it gives."""
import re
from decimal import Decimal
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "web" / "docs"
PAGES = pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
FREE = 2 ** 53  # a largest value beyond which nobody counts
FEW, SHORT = 8, 30  # options, and characters of a default, that a table has room for


@pytest.fixture
def schema(host, pack, page):
    return host.nodes.NODE_CLASS_MAPPINGS[page.stem].GET_SCHEMA()


def table(page, first, cells=2):
    """The first cells of every row of the table that begins with this word."""
    lines = page.read_text(encoding="utf-8").splitlines()
    below = lines[next(n for n, line in enumerate(lines) if line.startswith(f"| {first} |")) + 2:]
    end = next((n for n, line in enumerate(below) if not line.startswith("|")), len(below))
    return [tuple(cell.strip() for cell in line.split("|")[1:cells + 1]) for line in below[:end]]


def plain(number):
    return format(Decimal(str(number)).normalize(), "f")


def takes(slot):
    """What the page says in the column `takes`: a default and its range, options, or what to connect."""
    kind, default = slot.get_io_type(), getattr(slot, "default", None)
    if getattr(slot, "force_input", None) or kind not in VALUES:
        return f"{kind}, optional" if slot.optional else kind
    return VALUES[kind](slot, default)


def number(slot, default):
    return f"{plain(default)} ({plain(slot.min)} {'and up' if slot.max > FREE else 'to ' + plain(slot.max)})"


def text(_, default):
    return "text, given" if default and len(default) >= SHORT else f"`{default}`" if default else "text"


def choice(slot, default):
    if slot.id in ("lora_name", "head", "base_lora"):  # the other options are the files of this machine
        nothing = [option for option in slot.options if option == "none" or option.startswith(("[None]", "none:"))]
        return f"a file, or `{nothing[0]}`" if nothing else "a file"
    first = slot.options[0] if default is None else default
    others = [option for option in slot.options if option != first] if len(slot.options) <= FEW else []
    return ", ".join(f"`{option}`" for option in [first, *others])


VALUES = {"INT": number, "FLOAT": number, "STRING": text, "COMBO": choice,
          "BOOLEAN": lambda _, default: "on" if default else "off"}


@PAGES
def test_the_help_page_has_every_input_with_its_default_and_range(page, schema):
    assert table(page, "input") == [(f"`{slot.id}`", takes(slot)) for slot in schema.inputs]


@PAGES
def test_the_help_page_marks_the_inputs_that_the_node_hides_at_first(page, schema):
    marked = [name for name, _, words in table(page, "input", 3) if words.startswith("Advanced.")]
    assert marked == [f"`{slot.id}`" for slot in schema.inputs if getattr(slot, "advanced", None)]
    assert bool(marked) == ("*Show advanced inputs* on the node" in page.read_text(encoding="utf-8"))


@PAGES
def test_the_help_page_has_every_output(page, schema):
    assert table(page, "output") == [
        (f"`{slot.display_name}`", slot.get_io_type() + (", a list" if slot.is_output_list else ""))
        for slot in schema.outputs]


@PAGES
def test_the_help_page_has_the_node_s_name_and_an_example(page, schema):
    words = page.read_text(encoding="utf-8")
    assert words.startswith(f"# {schema.display_name}\n") and "Example" in words


@PAGES
def test_pictures_of_the_help_page_are_there(page):
    named = [part.split(")")[0] for part in page.read_text(encoding="utf-8").split("](")[1:]]
    assert [name for name in named if "://" not in name and not (DOCS / name).exists()] == []


def anchors(page):
    """What a link to a heading of the page ends in, as GitHub makes it of the heading."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_the_pages_lead_to_a_file_and_to_a_heading():
    root = DOCS.parents[1]
    found = [(page, *link.partition("#")[::2]) for page in (root / "README.md", *(root / "docs").glob("*.md"))
             for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")) if "://" not in link]
    assert len(found) > 100
    lost = [(page.name, file, anchor) for page, file, anchor in found
            if not (target := (page.parent / file if file else page)).exists()
            or anchor and anchor not in anchors(target)]
    assert lost == []


def test_the_page_of_tasks_leads_to_every_node():
    tasks = (DOCS.parents[1] / "docs" / "i_want_to.md").read_text(encoding="utf-8")
    assert [page.stem for page in DOCS.glob("*.md") if f"/{page.stem}.md)" not in tasks] == []


def test_templates_that_the_pages_name_are_there():
    pages = [*DOCS.glob("*.md"), *(DOCS.parents[1] / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"templates? (?:\(or )?`([^`]+)`",
                                                            page.read_text(encoding="utf-8"))}
    assert len(named) > 10
    assert [name for name in named if not (DOCS.parents[1] / "example_workflows" / f"{name}.json").exists()] == []
