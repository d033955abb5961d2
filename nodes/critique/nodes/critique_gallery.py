from comfy_api.v0_0_2 import io

from .critique_inputs import reference_input, rubric_input, rubric_sentence

MEASURES = ("all", "colour and value")      # as in gallery.measuring, which loads when the node runs


class CritiqueGallery(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCritiqueGallery",
            display_name="Critique Gallery",
            category="bottega/critique",
            description="Measures and scores every picture of a folder, however many, into a table that goes on where "
                        "it stopped, with a page of charts. Rank Images, Critique Reference and Training Set choose "
                        "from it.",
            search_aliases=["score folder", "batch critique", "data set curation", "filter dataset", "parquet",
                            "webdataset", "ray", "million images", "aesthetic filter", "statistics of pictures",
                            "cull", "folder report"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.String.Input("folder", optional=True, default="",
                                tooltip="A folder of pictures, with its subfolders and the tar files in it (a "
                                        "WebDataset), a .tar file, or a .parquet list with a column `path`: below "
                                        "ComfyUI's input directory, or an absolute path."),
                io.String.Input("name", optional=True, default="",
                                tooltip="What the gallery is called: its table lies in output/galleries under this "
                                        "name. Empty: the name of the folder."),
                rubric_input(),
                reference_input(),
                io.Combo.Input("measures", options=list(MEASURES), optional=True,
                               tooltip="all: every measure, every criterion and the score. colour and value: only "
                                       "measures that need no place in the picture, several times as fast, without a "
                                       "score."),
                io.Int.Input("workers", default=0, min=0, max=256, optional=True, advanced=True,
                             tooltip="How many pictures are measured at once, each in a process of one thread that "
                                     "takes about half a gigabyte. 0: one for each processor."),
                io.String.Input("ray", default="", optional=True, advanced=True,
                                tooltip="The address of a Ray cluster that measures instead (`ray://host:10001`, "
                                        "`auto`), or `local`. Its machines must see the folder and the output folder "
                                        "under the same paths. Empty: this machine."),
                io.Boolean.Input("again", default=False, optional=True, advanced=True,
                                 tooltip="Also measure those pictures anew that had an error the last time."),
            ],
            outputs=[
                io.String.Output("table", tooltip="For table of Rank Images, Critique Reference and Training Set."),
                io.String.Output("report", tooltip="Markdown: how many pictures, which could not be measured, the "
                                                   "highest and the lowest scores, and where table and page lie."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None):
        return rubric_sentence(rubric)

    @classmethod
    def fingerprint_inputs(cls, folder="", name="", **_):
        from ...shared import linked_files
        from . import critique_gallery_run
        return linked_files.fingerprint(cls, critique_gallery_run.fingerprint, folder, name)

    @classmethod
    def execute(cls, folder="", name="", rubric="", reference=None, measures=MEASURES[0], workers=0, ray="",
                again=False):
        from ...shared import linked_files
        from . import critique_gallery_run
        linked_files.note(cls, critique_gallery_run.fingerprint, folder, name)
        return critique_gallery_run.run(cls.hidden.unique_id, folder, name, rubric, reference, measures, workers, ray,
                                        again)
