"""The inputs that several nodes of the critique share, and how they are checked before a run."""
from comfy_api.v0_0_2 import io

# The modules of the room load when a node runs: fifty files take longer to import than the page should wait.
ReferenceType = io.Custom("BOTTEGA_REFERENCE")
RUBRIC = ("What counts and how, such as `Balance=2; Symmetry=0; Value>70; Line -> 80 +- 10`, or a critic: `@Arnheim`. "
          "Empty: the default rubric. The help page has the grammar.")


def rubric_input():
    return io.String.Input("rubric", default="", multiline=True, optional=True, tooltip=RUBRIC)


def reference_input():
    return ReferenceType.Input("reference", optional=True,
                               tooltip="Pictures to compare with, instead of the 1,629 paintings.")


def table_input(note: str):
    return io.String.Input("table", default="", optional=True,
                           tooltip=f"The table of Critique Gallery, or the name of a gallery. {note}")


def where_input():
    return io.String.Input("where", default="", optional=True, multiline=True,
                           tooltip="Which pictures of the table: comparisons such as `score > 60; Symmetry < 20`, "
                                   "weights that order them such as `Balance = 2; Value = 1`, and `first = 200`. "
                                   "Empty: all.")


def where_sentence(where: str | None) -> bool | str:
    from ...shared.picture_choice import parse
    try:
        parse(where or "")
    except ValueError as error:
        return str(error)
    return True


def table_fingerprint(table: str) -> str:
    """Changes when the table that was named or connected grows."""
    import folder_paths

    from ...shared.picture_table import fingerprint
    return fingerprint(table, folder_paths.get_output_directory) if table.strip() else ""


def rubric_sentence(rubric: str | None, total: bool = False, heat: str | None = None) -> bool | str:
    from ..rubric.rubric_language import parse, subject
    from ..score.judge import check_total
    try:
        read = parse(rubric or "")  # None: it comes from a link, and is read when it is there
        if rubric is not None:
            subject(heat or "", read)
        if total:
            check_total(read)
    except ValueError as error:
        return str(error)
    return True


def only(given):
    """The one value of an input of a node that takes lists; None where it is not connected."""
    return (given[0] if given else None) if isinstance(given, (list, tuple)) else given


def files_fingerprint(folder: str, table: str) -> str:
    """Changes when a picture of the folder does, or the table."""
    return f"{folder_fingerprint(folder)} {table_fingerprint(table)}".strip()


def folder_fingerprint(folder: str) -> str:
    """Changes when a picture in the folder does; the name itself where it cannot be listed, which the run then says."""
    from ...shared import picture_folder
    if not folder.strip():
        return ""
    try:
        return picture_folder.fingerprint(picture_folder.locate(folder))
    except ValueError:
        return folder
