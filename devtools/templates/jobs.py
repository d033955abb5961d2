"""The templates: one job each, on the starter or on one family of models, at most twelve nodes with the note."""
import re
from pathlib import Path

from .drawing import draw, draw_both, draw_versions, pairs, sampling
from .model_families import CLIP, HUB, LATENT, MODEL, NEGATIVE, VAE, Family
from .model_families import models as models_of
from .workflow import Node, Note, Subgraph

MODELS = "Models"
NOTES = Path(__file__).with_name("notes.md")
AS_A_SAMPLER = (MODEL, CLIP, NEGATIVE, LATENT, VAE)      # for what takes the inputs of a sampler, and a vae
MODEL_LAST = (NEGATIVE, LATENT, VAE, CLIP, MODEL)        # for a high node on the way of the model: the rest runs above
INTO = {MODEL: "model", VAE: "vae", CLIP: "positive", NEGATIVE: "negative", LATENT: "latent_image"}
MODEL_AND_VAE_LAST = (NEGATIVE, LATENT, CLIP, MODEL, VAE)
PROMPTS_AND_MODEL_LAST = (LATENT, VAE, CLIP, NEGATIVE, MODEL)


def _models(family: Family, order: tuple[str, ...] = ()) -> Node:
    """The subgraph; order: of its outputs, where another than its own crosses fewer wires."""
    return Node(MODELS, {}, subgraph=models_of(family, *order))


def _note(name: str, family: Family | None, *more: str) -> Note:
    """The note of a template, with further sections; without a family it is one that needs no model."""
    sections = dict(re.findall(r"^## (\S+)\n\n(.*?)\n(?=\n## |\Z)", NOTES.read_text(encoding="utf-8"), re.M | re.S))
    parts = [name, *more, *(["Models"] if family else []), *(["Own"] if family and not family.key else [])]
    return Note(title="Read me", text="\n\n".join(sections[part] for part in parts))


def _prompt(models: Node, text: str, title: str = "Prompt") -> Node:
    return Node("CLIPTextEncode", {"clip": models[CLIP], "text": text}, title)


def _draw(family: Family, models: Node, model, positive: Node, title: str, **more) -> Node:
    return _drawn(draw(family), models, {"model": model, "positive": positive[0], **more}, title)


def _drawn(subgraph: Subgraph, models: Node, values: dict, title: str) -> Node:
    """A node of `drawing`, its inputs in the order in which *Models* gives what leads to them."""
    values = {"negative": models[NEGATIVE], "latent_image": models[LATENT], "vae": models[VAE], **values}
    order = [INTO[name] for name in models.subgraph.outputs]
    place = lambda name: order.index(name.split(" ")[0]) if name in values else len(order)
    subgraph.inputs = {name: subgraph.inputs[name] for name in sorted(subgraph.inputs, key=place)}
    return Node(subgraph.name, {name: values[name] for name in subgraph.inputs if name in values}, title,
                subgraph=subgraph)


def _shown(drawn: Node, title: str) -> Node:
    return Node("PreviewImage", {"images": drawn[0]}, title, size=(560, 360))


def _sampling(family: Family) -> dict:
    return {"sampling_steps": family.steps, "cfg": family.cfg, "sampler_name": family.sampler,
            "scheduler": family.scheduler}


def block_weights(family: Family) -> list[Node]:
    models = _models(family, MODEL_LAST)
    prompt = _prompt(models, family.prompt)
    lora = Node("BottegaLoadLora", {"model": models[MODEL], "lora_name": family.lora, "blocks": family.half})
    drawn = _drawn(draw_both(family, "without the LoRA", "with the LoRA"), models, {
        "model without the LoRA": models[MODEL], "model with the LoRA": lora[0], "positive": prompt[0]}, "Draw both")
    return [_note("block-weights", family), models, lora, prompt, drawn, _shown(drawn, "Without and with the LoRA")]


def train(family: Family) -> list[Node]:
    models = _models(family)
    dataset = Node("BottegaTrainingSet", {"vae": models[VAE], "clip": models[CLIP], "folder": family.folder,
                                          "resolution": family.resolution}, size=(360, 1130))
    prompt = _prompt(models, family.styled, "Sample prompt")
    recipe = Node("BottegaRecipe", {"validation_pictures": 2, "validation_every": max(20, family.trained_steps // 4),
                                    "sample_every": family.trained_steps // 3, "sample_cfg": family.cfg,
                                    "sample_steps": family.steps}, size=(360, 1060))
    trained = Node("BottegaTrainLora", {
        "model": models[MODEL], "dataset": dataset[0], "recipe": recipe[0], "sample_prompts": prompt[0],
        "vae": models[VAE], "steps": family.trained_steps, "batch_size": 1 if family.key else 4,
        "learning_rate": family.rate, "rank": 0 if family.key else 8, "name": "my_lora", "seed": 1}, size=(420, 820))
    chart = Node("BottegaTrainingChart", {"loss_map": trained[1]}, size=(260, 60))
    applied = Node("BottegaApplyLora", {"model": models[MODEL], "lora": trained[0]})
    drawn = _draw(family, models, applied[0], prompt, "With the trained LoRA")
    return [_note("train-on-a-folder", family),
            models, dataset, recipe, prompt, trained, chart, Node("PreviewImage", {"images": chart[0]}, "Loss"),
            applied, drawn,
            Node("SaveImage", {"images": drawn[0], "filename_prefix": "trained"}, "Result")]


def best_of_n(family: Family) -> list[Node]:
    models = _models(family, AS_A_SAMPLER)
    prompt = _prompt(models, family.prompt)
    how = _drawn(sampling(family), models, {"model": models[MODEL], "positive": prompt[0]}, "How to draw")
    best = Node("BottegaBestOf", {"guider": how["guider"], "sampler": how["sampler"], "sigmas": how["sigmas"],
                                  "latent_image": models[LATENT], "vae": models[VAE], "count": 8,
                                  "rubric": "*=0; Balance=high; Contrast=high"}, size=(400, 460))
    return [_note("best-of-n", family),
            models, prompt, how, best,
            Node("SaveImage", {"images": best[0], "filename_prefix": "best"}, "The best"),
            Node("PreviewImage", {"images": best[4]}, "All of them")]


def block_effect(family: Family) -> list[Node]:
    models = _models(family, AS_A_SAMPLER)
    prompt = _prompt(models, family.prompt)
    effect = Node("BottegaBlockEffect", {
        "model": models[MODEL], "lora_name": family.lora, "positive": prompt[0], "negative": models[NEGATIVE],
        "latent_image": models[LATENT], "vae": models[VAE], "seeds": 1, "rubric": "*=0; Value=1; Balance=1",
        **_sampling(family)}, size=(400, 660))
    return [_note("what-each-block-does", family),
            models, prompt, effect, Node("PreviewImage", {"images": effect[1]}, "How much"),
            Node("PreviewImage", {"images": effect[3]}, "What it looks like")]


def tune_blocks(family: Family) -> list[Node]:
    models = _models(family, AS_A_SAMPLER)
    prompt = _prompt(models, family.styled)
    style = Node("BottegaCritiqueReference", {"folder": family.folder, "name": "the style"}, size=(360, 240))
    tuned = Node("BottegaTuneBlocks", {
        "model": models[MODEL], "lora_name": family.lora, "positive": prompt[0], "negative": models[NEGATIVE],
        "latent_image": models[LATENT], "vae": models[VAE], "reference": style[0], "closeness": 1.0, "budget": 16,
        "seeds": 1, "held_out": 2, "rubric": "*=0; Value=1", **_sampling(family)}, size=(400, 760))
    shown = Node("PreviewAny", {"source": tuned[0]}, "Block weights to use", size=(400, 140))
    return [_note("tune-blocks-to-a-style", family),
            models, prompt, style, tuned, shown, Node("PreviewImage", {"images": tuned[3]}, "Without, whole, tuned")]


def lora_grid(family: Family) -> list[Node]:
    models = _models(family, AS_A_SAMPLER)
    prompt = _prompt(models, family.prompt)
    grid = Node("BottegaLoraGrid", {
        "model": models[MODEL], "loras": f"{family.lora}\n{family.second_lora}", "strengths": "0.5, 1",
        "blocks": f"default=1\n{family.half}", "positive": prompt[0], "negative": models[NEGATIVE],
        "latent_image": models[LATENT], "vae": models[VAE], "rubric": "*=0; Value=1; Balance=1", "seed": 7,
        **_sampling(family)}, size=(440, 820))
    return [_note("strength-and-blocks-grid", family), models, prompt, grid,
            Node("PreviewImage", {"images": grid[4]}, "The grid", size=(620, 560)),
            Node("PreviewImage", {"images": grid[3]}, "The best")]


def guidance(family: Family) -> list[Node]:
    models = _models(family, MODEL_AND_VAE_LAST)
    prompt = _prompt(models, family.prompt)
    steered = Node("BottegaSteer", {"model": models[MODEL], "vae": models[VAE], "rubric": "Value=high",
                                    "strength": 12.0}, size=(360, 420))
    drawn = _drawn(draw_both(family, "as it is", "guided"), models, {
        "model as it is": models[MODEL], "model guided": steered[0], "positive": prompt[0]}, "Draw both")
    return [_note("guide-a-sampler", family), models, steered, prompt, drawn, _shown(drawn, "As it is and guided")]


def slider(family: Family) -> list[Node]:
    models = _models(family)
    more, less = _prompt(models, family.more, "More of this"), _prompt(models, family.less, "Instead of this")
    pictures = Node("BottegaTrainingSet", {"vae": models[VAE], "clip": models[CLIP], "folder": family.folder,
                                           "resolution": family.resolution}, size=(360, 1130))
    concept = Node("BottegaConcept", {"dataset": pictures[0], "more": more[0], "less": less[0], "strength": 2.0})
    trained = Node("BottegaTrainLora", {
        "model": models[MODEL], "dataset": concept[0], "steps": family.trained_steps // 2, "learning_rate": family.rate,
        "rank": 4, "name": "my_slider", "seed": 1}, size=(420, 720))
    applied = Node("BottegaApplyLora", {"model": models[MODEL], "lora": trained[0], "strength_model": 1.0})
    drawn = _draw(family, models, applied[0], less, "Slider at 1")
    return [_note("slider-from-prompts", family),
            models, more, less, pictures, concept, trained, applied, drawn,
            Node("SaveImage", {"images": drawn[0], "filename_prefix": "slider"}, "Result")]


def lora_rows(family: Family) -> list[Node]:
    models = _models(family, AS_A_SAMPLER)
    rows = Node("BottegaLoraRows", {"model": models[MODEL], "clip": models[CLIP], "rows": (
        f"<lora:{family.lora}:1:lbw={family.half}>\n<lora:{family.second_lora}:0.7>")}, size=(460, 620))
    prompt = Node("CLIPTextEncode", {"clip": rows[1], "text": family.prompt}, "Prompt")
    drawn = _draw(family, models, rows[0], prompt, "With the LoRAs")
    return [_note("lora-rows", family), models, rows, prompt, drawn,
            Node("SaveImage", {"images": drawn[0], "filename_prefix": "rows"}, "Result")]


def stack_and_save(family: Family) -> list[Node]:
    models = _models(family)
    prompt = _prompt(models, family.prompt)
    first = Node("BottegaStackLora", {"lora_name": family.lora, "blocks": family.half})
    second = Node("BottegaStackLora", {"stack": first[0], "lora_name": family.second_lora, "strength_model": 0.7})
    applied = Node("BottegaApplyStack", {"model": models[MODEL], "stack": second[0]}, size=(320, 200))
    written = Node("BottegaSaveLora", {"stack": second[0], "model": models[MODEL], "name": "merged"}, size=(360, 660))
    drawn = _draw(family, models, applied[0], prompt, "With both LoRAs")
    return [_note("stack-merge-save", family),
            models, prompt, first, second, applied, written, drawn,
            Node("SaveImage", {"images": drawn[0], "filename_prefix": "stacked"}, "Result")]


def scheduled(family: Family) -> list[Node]:
    models = _models(family, PROMPTS_AND_MODEL_LAST)
    hooks = Node("BottegaScheduleLora", {"lora_name": family.lora, "keyframes": "0:0, 0.4:1", "model": models[MODEL]})
    prompt = _prompt(models, family.prompt)
    hooked = Node("PairConditioningSetProperties", {"positive_NEW": prompt[0], "negative_NEW": models[NEGATIVE],
                                                    "hooks": hooks[0]}, size=(300, 180))
    drawn = _draw(family, models, models[MODEL], hooked, "The LoRA from 40 % on", negative=hooked[1])
    return [_note("lora-over-time", family),
            models, hooks, prompt, hooked, drawn,
            Node("SaveImage", {"images": drawn[0], "filename_prefix": "scheduled"}, "Result")]


def two_regions(family: Family) -> list[Node]:
    models = _models(family, MODEL_LAST)
    prompt = _prompt(models, family.prompt)
    black = Node("SolidMask", {"value": 0.0, "width": 64, "height": 64}, "All black")
    white = Node("SolidMask", {"value": 1.0, "width": 32, "height": 64}, "White, half as wide")
    left = Node("MaskComposite", {"destination": black[0], "source": white[0], "x": 0, "y": 0, "operation": "add"},
                "The left half")
    right = Node("InvertMask", {"mask": left[0]}, "The right half")
    first = Node("BottegaRegionalLora", {"model": models[MODEL], "lora_name": family.lora, "mask": left[0]})
    second = Node("BottegaRegionalLora", {"model": first[0], "lora_name": family.second_lora, "mask": right[0]})
    drawn = _draw(family, models, second[0], prompt, "A LoRA in each half")
    return [_note("two-loras-side-by-side", family),
            models, prompt, black, white, left, right, first, second, drawn,
            Node("SaveImage", {"images": drawn[0], "filename_prefix": "regional"}, "Result")]


def image_pairs(family: Family) -> list[Node]:
    models = _models(family, MODEL_LAST)
    prompt = _prompt(models, family.prompt)
    values, made = {"folder": family.folder}, []
    if not family.key:      # the starter has no pairs in a folder: they are made in the graph
        made = [Node("Pairs", {}, subgraph=pairs(family), size=(320, 120))]
        values = {name: made[0][name] for name in ("images", "captions", "before")}
    dataset = Node("BottegaTrainingSet", {"vae": models[VAE], "clip": models[CLIP], "resolution": family.resolution,
                                          **values}, size=(360, 1130))
    trained = Node("BottegaTrainLora", {
        "model": models[MODEL], "dataset": dataset[0], "steps": family.trained_steps, "learning_rate": family.rate,
        "rank": 0 if family.key else 8, "name": "my_change", "seed": 1}, size=(420, 720))
    applied = Node("BottegaApplyLora", {"model": models[MODEL], "lora": trained[0], "strength_model": 1.0})
    drawn = _draw(family, models, applied[0], prompt, "Changed")
    return [_note("image-pairs", family, *(["Inverted"] if made else [])),
            models, prompt, *made, dataset, trained, applied, drawn,
            Node("SaveImage", {"images": drawn[0], "filename_prefix": "changed"}, "Result")]


def compare_versions(family: Family) -> list[Node]:
    models = _models(family)
    prompt = _prompt(models, family.prompt)
    drawn = _drawn(draw_versions(family, tuple(family.cfg * number for number in (1, 2, 3))), models,
                   {"model": models[MODEL], "positive": prompt[0]}, "Draw three versions")
    compared = Node("BottegaCompareVersions", {"images": drawn[0]}, size=(460, 900))
    return [_note("compare-versions", family),
            models, prompt, drawn, compared,
            Node("PreviewImage", {"images": compared[2]}, "Where they differ from version 1"),
            Node("PreviewImage", {"images": compared[3]}, "The least spoiled first")]


def rank_folder(family: Family) -> list[Node]:
    ranked = Node("BottegaRankImages", {"folder": family.folder, "keep": 3,
                                        "rubric": "*=0; Balance=high; Contrast=high"}, size=(460, 700))
    return [_note("rank-a-folder", None),
            ranked, Node("PreviewImage", {"images": ranked[0]}, "The best"),
            Node("PreviewImage", {"images": ranked[1]}, "All, in order")]


def criticise(_family: Family) -> list[Node]:
    picture = Node("LoadImage", {"image": "bottega_picture.png"}, "Your picture")
    critique = Node("BottegaCritique", {"images": picture[0]}, size=(460, 900))
    return [_note("criticise-a-picture", None),
            picture, critique, Node("PreviewImage", {"images": critique[4]}, "Every criterion"),
            Node("PreviewImage", {"images": critique[5]}, "Where it comes from")]


def train_videos(family: Family) -> list[Node]:
    models = _models(family)
    dataset = Node("BottegaTrainingSet", {"vae": models[VAE], "clip": models[CLIP], "folder": "my_videos",
                                          "resolution": 320, "frames": "33, 49", "fps": 24.0}, size=(360, 1250))
    prompt = _prompt(models, "my_motion, an old fisherman turns his head to the window", "Sample prompt")
    recipe = Node("BottegaRecipe", {"validation_pictures": 1, "validation_every": 250, "sample_every": 250,
                                    "sample_cfg": family.cfg, "sample_steps": family.steps}, size=(360, 1060))
    trained = Node("BottegaTrainLora", {
        "model": models[MODEL], "dataset": dataset[0], "recipe": recipe[0], "sample_prompts": prompt[0],
        "vae": models[VAE], "steps": family.trained_steps, "batch_size": 1, "learning_rate": family.rate, "rank": 0,
        "name": "my_motion", "seed": 1}, size=(420, 820))
    applied = Node("BottegaApplyLora", {"model": models[MODEL], "lora": trained[0]})
    empty = Node("Wan22ImageToVideoLatent", {"vae": models[VAE], "width": 640, "height": 384, "length": 49,
                                             "batch_size": 1}, "Empty video", size=(300, 180))
    drawn = _draw(family, models, applied[0], prompt, "With the trained LoRA", latent_image=empty[0])
    return [_note("train-on-videos", family),
            models, dataset, recipe, prompt, trained, applied, empty, drawn,
            Node("SaveAnimatedWEBP", {"images": drawn[0], "filename_prefix": "my_motion", "fps": 24.0}, "Result")]


def caption_folder(_family: Family) -> list[Node]:
    file = "qwen3vl_4b_fp8_scaled.safetensors"
    address = f"{HUB}Comfy-Org/Qwen3-VL/resolve/main/text_encoders/{file}"
    sees = Node("CLIPLoader", {"clip_name": file, "type": "stable_diffusion"}, "A model that sees",
                models=((file, address, "text_encoders"),))
    words = Node("PrimitiveStringMultiline", {"value": (
        "Describe this picture in one or two plain sentences, as a caption for training: the subject first, then what "
        "it does and where. Do not name the style, and do not begin with \"The picture shows\".")},
        "What to write", size=(340, 220))
    picture = Node("LoadImage", {"image": "bottega_picture.png"}, "One picture, to try it")
    tried = Node("BottegaDescribeImage", {"clip": sees[0], "images": picture[0], "instruction": words[0]},
                 size=(400, 280))
    captions = Node("BottegaCaptionFolder", {"clip": sees[0], "instruction": words[0], "folder": "my_pictures",
                                             "trigger_words": "my style"}, size=(460, 560))
    return [_note("caption-a-folder", None), picture, sees, words, tried, captions]


def criticise_app(family: Family) -> list[Node]:
    note, picture, critique, *charts = criticise(family)
    note.text = _note("criticise-app", None).text
    picture.asked = {"image": "Picture"}
    critique.asked = {"rubric": "What counts (empty: everything)", "bottega_critique": ""}
    for chart in charts:
        chart.is_shown = True
    return [note, picture, critique, *charts]


def train_app(family: Family) -> list[Node]:
    models = _models(family)
    models.asked = {"unet_name" if family.text else "ckpt_name": "Model"}
    dataset = Node("BottegaTrainingSet", {"vae": models[VAE], "clip": models[CLIP], "folder": family.folder,
                                          "resolution": family.resolution}, size=(360, 1130))
    dataset.asked = {"folder": "Folder in ComfyUI's input"}
    prompt = _prompt(models, family.styled, "Prompt for the result")
    prompt.asked = {"text": "Prompt for the result"}
    trained = Node("BottegaTrainLora", {
        "model": models[MODEL], "dataset": dataset[0], "steps": family.trained_steps,
        "batch_size": 1 if family.key else 4, "learning_rate": family.rate, "rank": 0 if family.key else 8,
        "name": "my_lora", "seed": 1}, asked={"name": "Name of the LoRA", "steps": "Steps",
                                               "bottega_training": ""}, size=(420, 820))
    applied = Node("BottegaApplyLora", {"model": models[MODEL], "lora": trained[0]})
    chart = Node("BottegaTrainingChart", {"loss_map": trained[1]}, size=(260, 60))
    drawn = _draw(family, models, applied[0], prompt, "With the trained LoRA")
    return [_note("train-app", family), models, dataset, prompt, trained, chart, applied, drawn,
            Node("SaveImage", {"images": drawn[0], "filename_prefix": "trained"}, "Result", is_shown=True),
            Node("PreviewImage", {"images": chart[0]}, "Loss", is_shown=True)]


MODEL_JOBS = {"block-weights": block_weights, "train-on-a-folder": train, "best-of-n": best_of_n,
              "what-each-block-does": block_effect, "tune-blocks-to-a-style": tune_blocks, "guide-a-sampler": guidance,
              "strength-and-blocks-grid": lora_grid,
              "slider-from-prompts": slider, "stack-merge-save": stack_and_save, "lora-over-time": scheduled,
              "two-loras-side-by-side": two_regions,
              "image-pairs": image_pairs, "compare-versions": compare_versions, "lora-rows": lora_rows,
              "train-a-lora.app": train_app}
"""Jobs that need a model: written for the starter and for every family. What ends in .app opens as a form."""

PICTURE_JOBS = {"criticise-a-picture": criticise, "rank-a-folder": rank_folder,
                "criticise-a-picture.app": criticise_app}
"""Jobs that need none."""

VIDEO_JOBS = {"train-on-videos": (train_videos, "Wan-2.2")}
"""Jobs that need a video model: (job, key of the family it is written for)."""

SEEING_JOBS = {"caption-a-folder": caption_folder}
"""Jobs that need a model that sees, which the starter has none of."""
