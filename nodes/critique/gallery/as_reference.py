"""What other nodes of the critique read of a gallery's table: measures that need not be made again."""
from collections.abc import Collection

import numpy as np
import torch

from ...shared.picture_choice import Chosen
from ...shared.picture_table import PictureTable
from ..measures import MEASURES, pictorial_depth
from ..reference import collection
from ..reference.distributions import OWN_SIDE, SCORED, fit
from .measuring import CRITERION

LISTED = 10_000     # pictures that Critique Reference gives as data: a million would be a gigabyte of text


def columns_for(table: PictureTable, wanted: Collection[str], more: Collection[str] = ()) -> list[str]:
    """The wanted measures of a table, those of `more` that it has, and the size of the pictures.

    Raises ValueError with one sentence where the table holds too few measures."""
    missing = [name for name in wanted if name in MEASURES and name not in table.columns]
    if missing:
        raise ValueError(f"table: expected every measure, got those of {table.about['measures']} alone ({missing[0]} "
                         "is missing); make the gallery with all measures")
    return [name for name in table.columns if name in wanted or name in more or name == OWN_SIDE]


def reference_of(table: PictureTable, chosen: Chosen, name: str) -> collection.Collection:
    """The chosen pictures of a table as a reference. Raises ValueError as `columns_for` does."""
    columns_for(table, {*MEASURES, *pictorial_depth.BY_HEIGHT})
    columns = [column for column in table.columns if column != "score" and not column.startswith(CRITERION)]
    table.load(columns)
    asked = set(chosen.names)       # np.isin would hold every name against every other
    places = np.array([place for place, each in enumerate(table.names) if each in asked], np.int64)
    rows = torch.from_numpy(np.stack([table.numbers(column)[places] for column in columns], 1))
    source = f"{len(rows)} pictures of the gallery {table.folder.name}, measured by Bottega"
    listed = places[np.linspace(0, len(places) - 1, min(len(places), LISTED)).astype(int)]
    at = {place: number for number, place in enumerate(places.tolist())}
    pictures = [(table.names[place], dict(zip(columns, rows[at[place]].tolist(), strict=True)))
                for place in listed.tolist()]
    notes = [chosen.note] + ([f"data holds {LISTED} of them."] if len(places) > LISTED else [])
    return collection.Collection(fit(name, source, columns, rows, SCORED), [], pictures, notes)
