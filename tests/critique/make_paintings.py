"""Writes nodes/critique/paintings.json from the published table of the Aesthetics-Toolbox.

    python tests/critique/make_paintings.py JA_QIPs.csv

The table is not part of the pack: supplemental_material/QIP_correlations/JA_QIPs.csv of
github.com/RBartho/Aesthetics-Toolbox (commit 005e036, MIT).
"""
import csv
import importlib
import json
import sys
import types
from pathlib import Path

import torch

PACK = Path(__file__).resolve().parents[2]
SOURCE = ("1,629 paintings of the JenAesthetics set as measured by Redies et al. 2025, doi 10.3758/s13428-025-02632-3; "
          "quantiles of JA_QIPs.csv, Aesthetics-Toolbox 005e036 (MIT, Copyright (c) 2018 The Python Packaging "
          "Authority)")


def read(path: Path, columns: list[str]) -> torch.Tensor:
    """The columns of a published table, float64 [N, K]."""
    with open(path, newline="", encoding="utf-8") as file:
        return torch.tensor([[float(row[column]) for column in columns] for row in csv.DictReader(file)],
                            dtype=torch.float64)


def fields(reference) -> dict:
    """A reference as it is stored: nine places are far finer than the four or five digits of the table."""
    def rounded(values):
        return [round(value, 9) for value in values]

    return {**reference._asdict(), "totals": rounded(reference.totals),
            "shares": {column: round(share, 9) for column, share in reference.shares.items()},
            "quantiles": {column: rounded(values) for column, values in reference.quantiles.items()}}


def main(table: Path) -> None:
    package = types.ModuleType("bottega")  # the pack without its __init__.py, which needs the host
    package.__path__ = [str(PACK)]
    sys.modules["bottega"] = package
    nodes = types.ModuleType("bottega.nodes")
    nodes.__path__ = [str(PACK / "nodes")]
    sys.modules["bottega.nodes"] = nodes
    measures = importlib.import_module("bottega.nodes.critique.measures")
    columns = [*measures.TOOLBOX, *measures.FILTERED]
    reference = importlib.import_module("bottega.nodes.critique.reference")
    fitted = fields(reference.fit("JenAesthetics", SOURCE, columns, read(table, columns)))
    lines = json.dumps(fitted).replace('], "', '],\n "').replace('}, "', '},\n"').replace('": {"', '": {\n "')
    (PACK / "nodes" / "critique" / "paintings.json").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
