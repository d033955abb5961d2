"""Writes nodes/critique/reference/paintings.json from the published table of the Aesthetics-Toolbox.

    python tests/critique/make_paintings.py JA_QIPs.csv [measured.csv]

Measures that are not in the table are estimated for its paintings where `measured.csv` holds, for pictures at hand, the
columns of the table beside them: a linear fit of each (ESTIMATED), and for every painting its prediction and the error
of one of the pictures, drawn by lot. What `measured.csv` has no column for stays as it is.

The table is not part of the pack: supplemental_material/QIP_correlations/JA_QIPs.csv of
github.com/RBartho/Aesthetics-Toolbox (commit 005e036, MIT).
"""
import csv
import importlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch

PACK = Path(__file__).resolve().parents[2]
SOURCE = ("1,629 paintings of the JenAesthetics set as measured by Redies et al. 2025, doi 10.3758/s13428-025-02632-3; "
          "quantiles of JA_QIPs.csv, Aesthetics-Toolbox 005e036 (MIT, Copyright (c) 2018 The Python Packaging "
          "Authority)")


ESTIMATED = {
    "Tilt": (("DCM x position", "DCM y position", "DCM distance"), (0, 100)),
    "Likeness left-right": (("DCM x position", "DCM y position", "DCM distance", "Homogeneity", "Mirror symmetry"),
                            (-1, 1)),
    "Leading direction": (("1st-order EOE", "2nd-order EOE"), (0, 1)),
    "Obliqueness": (("1st-order EOE", "2nd-order EOE"), (0, 1)),
    "Slant": (("1st-order EOE", "2nd-order EOE"), (0, 1)),
    "Warm-cold contrast": (("std a channel", "std b channel (Lab)", "mean a channel", "mean b channel (Lab)",
                            "std S channel"), (0, 2)),
    "Complementary contrast": (("std H channel", "Color entropy", "std a channel", "std b channel (Lab)",
                                "mean S channel", "mean b channel (Lab)"), (0, 1)),
}
"""Measures of our own: the published columns that tell of them, and the least and the most they can be."""


def estimate(measured: Path, table: Path) -> dict[str, list[float]]:
    """The quantiles of the columns of ESTIMATED in the paintings; prints how far each fit can be trusted."""
    with open(measured, newline="", encoding="utf-8") as file:
        known = next(csv.reader(file))
    found = {}
    for column, (columns, (least, most)) in ESTIMATED.items():
        if column not in known:
            continue
        seen, paintings = read(measured, [column, *columns]).numpy(), read(table, list(columns)).numpy()
        line, error, explained = _fit(_terms(seen[:, 1:]), seen[:, 0])
        drawn = np.random.default_rng(0).choice(error, len(paintings))
        values = np.clip(_terms(paintings) @ line + drawn, least, most)
        found[column] = [float(f"{value:.4g}") for value in np.percentile(values, np.arange(101))]
        print(f"{column}: {explained:.2f} of the variance of {len(seen)} pictures, each left out once")
    return found


def _terms(columns: np.ndarray) -> np.ndarray:
    return np.hstack([np.ones((len(columns), 1)), np.abs(columns), columns ** 2 / 100])


def _fit(terms: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients, errors of the pictures each left out once, and the share of the variance that is explained."""
    scale = np.maximum(terms.std(0), 1e-9)
    scaled = terms / np.where(terms.std(0) > 0, scale, 1)
    inverse = np.linalg.inv(scaled.T @ scaled + 1e-2 * np.eye(terms.shape[1]))
    hat = np.einsum("ij,jk,ik->i", scaled, inverse, scaled)
    coefficients = inverse @ scaled.T @ values
    error = (values - scaled @ coefficients) / (1 - hat)
    return coefficients / np.where(terms.std(0) > 0, scale, 1), error, 1 - error.var() / values.var()


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
            "small_totals": rounded(reference.small_totals),
            "shares": {column: round(share, 9) for column, share in reference.shares.items()},
            "quantiles": {column: rounded(values) for column, values in reference.quantiles.items()}}


def main(table: Path, measured: Path | None = None) -> None:
    package = types.ModuleType("bottega")  # the pack without its __init__.py, which needs the host
    package.__path__ = [str(PACK)]
    sys.modules["bottega"] = package
    nodes = types.ModuleType("bottega.nodes")
    nodes.__path__ = [str(PACK / "nodes")]
    sys.modules["bottega.nodes"] = nodes
    measures = importlib.import_module("bottega.nodes.critique.measures")
    columns = [*measures.TOOLBOX, *measures.FILTERED]
    reference = importlib.import_module("bottega.nodes.critique.reference.distributions")
    fitted = fields(reference.fit("JenAesthetics", SOURCE, columns, read(table, columns)))
    file = PACK / "nodes" / "critique" / "reference" / "paintings.json"
    if measured:
        before = json.loads(file.read_text(encoding="utf-8"))
        kept = {column: before["quantiles"][column] for column in before["estimated"]}
        fitted["quantiles"] |= kept | estimate(measured, table)
        fitted["estimated"] = [column for column in fitted["quantiles"] if column in ESTIMATED]
    lines = json.dumps(fitted).replace('], "', '],\n "').replace('}, "', '},\n"').replace('": {"', '": {\n "')
    file.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
