from comfy_api.v0_0_2 import io

from .critique_inputs import (
    files_fingerprint,
    only,
    reference_input,
    rubric_input,
    rubric_sentence,
    table_input,
    where_sentence,
)


class RankImages(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaRankImages",
            display_name="Rank Images",
            category="bottega/critique",
            description="Puts the pictures of a batch, a list or a folder in the order of their critique and keeps the "
                        "best.",
            search_aliases=["best of n", "sort images", "pick best", "aesthetic filter", "select images", "top k",
                            "sort by score", "best picture", "curate", "cull"],
            has_intermediate_output=True,
            is_input_list=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("images", optional=True,
                               tooltip="The pictures to choose from: a batch, or a list, whose pictures may be of any "
                                       "size. Beside or instead of a folder."),
                rubric_input(),
                io.Int.Input("keep", default=1, min=1, max=4096, tooltip="How many to keep; all of them if there are "
                                                                         "fewer."),
                reference_input(),
                io.String.Input("folder", default="", optional=True,
                                tooltip="A folder of pictures to choose from, with its subfolders: below ComfyUI's "
                                        "input directory, or an absolute path. Empty: none."),
                table_input("Its pictures are judged by what was measured then, and only those that are kept or sorted "
                            "are opened."),
                io.String.Input("where", default="", optional=True,
                                tooltip="Which pictures of the table: comparisons such as `score > 60; Symmetry < 20`, "
                                        "and `first = 200`, those with the highest scores in the table. Empty: all."),
            ],
            outputs=[
                io.Image.Output("best", is_output_list=True,
                                tooltip="The pictures with the highest scores, the highest first: one batch, or a list "
                                        "where their sizes differ."),
                io.Image.Output("sorted", is_output_list=True,
                                tooltip="All pictures, from the highest score to the lowest, equal scores as they "
                                        "came; of a folder or a table those that are kept, or at most 100 and "
                                        "no more once they take 1 GB."),
                io.Float.Output("scores", is_output_list=True, tooltip="The scores in that order, as a list."),
                io.String.Output("report", tooltip="Markdown: the ranking with the strongest reason of each."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None, where=None):
        found = rubric_sentence(only(rubric), total=True)
        return where_sentence(only(where)) if found is True else found

    @classmethod
    def fingerprint_inputs(cls, images=None, rubric=None, keep=None, reference=None, folder="", table="",
                           where=None):
        from ...shared import linked_files
        return linked_files.fingerprint(cls, files_fingerprint, only(folder), only(table))

    @classmethod
    def execute(cls, images=(), rubric=None, keep=None, reference=None, folder=None, table=None, where=None):
        from ...shared import linked_files
        from . import rank_images_run
        linked_files.note(cls, files_fingerprint, only(folder) or "", only(table) or "")
        return rank_images_run.rank(images, only(rubric) or "", only(keep) or 1, only(reference), only(folder) or "",
                                    only(table) or "", only(where) or "")
