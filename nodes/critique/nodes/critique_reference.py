import json

import comfy.utils
from comfy_api.v0_0_2 import io

from .critique_inputs import (
    ReferenceType,
    files_fingerprint,
    table_input,
    where_input,
    where_sentence,
)


class CritiqueReference(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCritiqueReference",
            display_name="Critique Reference",
            category="bottega/critique",
            description="Measures the pictures of a tradition, a style or your own work, so that Art Critique can say "
                        "where a picture stands among them.",
            search_aliases=["reference style", "style statistics", "corpus", "art score", "calibrate critique",
                            "style reference", "my style", "moodboard"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("images", optional=True, tooltip="Pictures of the reference, beside or instead of a "
                                                                "folder."),
                io.String.Input("folder", optional=True,
                                default="", tooltip="A folder of pictures, with its subfolders: below "
                                "ComfyUI's input directory, or an absolute path. About a second a picture."),
                io.String.Input("name", optional=True,
                                default="", tooltip="What reports call it; empty: the name of the folder."),
                io.Combo.Input("unreadable", options=["stop", "skip"], optional=True, advanced=True,
                               tooltip="What to do about a picture that cannot be read or measured: stop, or leave it "
                                       "out and say so."),
                table_input("Instead of a folder: nothing is measured again."),
                where_input(),
            ],
            outputs=[
                ReferenceType.Output("reference", tooltip="For Art Critique. 100 pictures or more are good; with fewer "
                                                          "than 20 every percentile is uncertain by 30 points."),
                io.String.Output("report", tooltip="Markdown: how many pictures, how sure their percentiles are, which "
                                                   "could not be read, and where they differ from the paintings."),
                io.String.Output("data", tooltip="JSON, a row for each picture: its file, the year in its name, its "
                                                 "score among the paintings and its measures. For Chart: "
                                                 "`timeline()`, `plane()`."),
            ],
        )

    @classmethod
    def validate_inputs(cls, where=None):
        return where_sentence(where)

    @classmethod
    def fingerprint_inputs(cls, images=None, folder="", name="", unreadable="stop", table="", where=""):
        from ...shared import linked_files
        return linked_files.fingerprint(cls, files_fingerprint, folder, table)

    @classmethod
    def execute(cls, images=None, folder="", name="", unreadable="stop", table="", where=""):
        from ...shared import linked_files, picture_folder
        from ..reference import collection
        linked_files.note(cls, files_fingerprint, folder, table)
        if table.strip() or where.strip():
            return cls._of_table(images, folder, name, table, where)
        if images is None and not folder.strip():
            raise ValueError("images: expected pictures or a folder of them, got neither")
        found = picture_folder.list_folder(picture_folder.locate(folder)) if folder.strip() else None
        if found:
            picture_folder.require_pictures(found)
        progress = comfy.utils.ProgressBar((len(found.pictures) if found else 0)
                                           + (0 if images is None else len(images)))
        called = name.strip() or (found.root.name if found else "the connected pictures")
        return cls._shown(collection.collect(images, found, called, lambda: progress.update(1), unreadable))

    @classmethod
    def _of_table(cls, images, folder, name, table, where):
        """The reference of pictures that Critique Gallery measured."""
        import folder_paths

        from ...shared.picture_choice import selected
        from ..gallery.as_reference import reference_of
        if images is not None or folder.strip():
            raise ValueError("table: expected a table alone, got pictures or a folder beside it")
        held, chosen = selected(table, where, folder_paths.get_output_directory)
        return cls._shown(reference_of(held, chosen, name.strip() or held.folder.name))

    @classmethod
    def _shown(cls, measured):
        from ..report import reference_report
        report = reference_report.report(measured)
        return io.NodeOutput(
            measured.reference, report, json.dumps(reference_report.records(measured)), ui={"text": (report,)}
        )
