"""The subgraphs that draw: a picture, one by two models or with several values, and what a node that draws many takes.

What the pictures have in common is given once, so that no wires cross and one seed is of all.
"""
from .model_families import Family
from .workflow import Node, Subgraph

COMMON = ("positive", "negative", "latent_image")
SETTINGS = ("seed", "steps", "cfg", "sampler_name", "scheduler")
SPACE = 8       # pixels between two pictures that stand side by side


def settings(family: Family) -> dict:
    return {"seed": 7, "steps": family.steps, "cfg": family.cfg, "sampler_name": family.sampler,
            "scheduler": family.scheduler}


def draw(family: Family) -> Subgraph:
    """One picture."""
    sampler = _sampler(family, "Sampler")
    decoded = _decoded(sampler)
    inputs = {"model": [(sampler, "model")], "vae": [(decoded, "vae")], **_shared([sampler], (*COMMON, *SETTINGS))}
    return Subgraph("Draw", [sampler, decoded], {"image": (decoded[0], "IMAGE")}, inputs)


def draw_both(family: Family, first: str, second: str) -> Subgraph:
    """The same picture by two models, which the names of the inputs tell apart, and both side by side."""
    names = first, second
    samplers = [_sampler(family, name.capitalize()) for name in names]
    decoded = [_decoded(sampler) for sampler in samplers]
    both = Node("ImageStitch", {"image1": decoded[0][0], "image2": decoded[1][0], "spacing_width": SPACE},
                size=(270, 180))
    inputs = {**{f"model {name}": [(sampler, "model")] for name, sampler in zip(names, samplers, strict=True)},
              **_shared(decoded, ("vae",)), **_shared(samplers, (*COMMON, *SETTINGS))}
    outputs = {"side by side": (both[0], "IMAGE"),
               **{name: (node[0], "IMAGE") for name, node in zip(names, decoded, strict=True)}}
    return Subgraph("Draw both", [*samplers, *decoded, both], outputs, inputs)


def draw_versions(family: Family, cfgs: tuple[float, ...]) -> Subgraph:
    """The same picture with a cfg and a sampler for each version, as one batch."""
    samplers = [_sampler(family, f"Version {number}", cfg=cfg) for number, cfg in enumerate(cfgs, 1)]
    batch = Node("BatchLatentsNode", {f"latents.latent{at}": node[0] for at, node in enumerate(samplers)},
                 size=(220, 90))
    decoded = _decoded(batch)
    own = {f"{called} {number}": [(node, name)] for called, name in (("cfg", "cfg"), ("sampler", "sampler_name"))
           for number, node in enumerate(samplers, 1)}
    inputs = {**_shared(samplers, ("model",)), "vae": [(decoded, "vae")],
              **_shared(samplers, (*COMMON, "seed", "steps")), **own, **_shared(samplers, ("scheduler",))}
    return Subgraph("Draw versions", [*samplers, batch, decoded], {"images": (decoded[0], "IMAGE")}, inputs)


def sampling(family: Family) -> Subgraph:
    """What a node that draws many pictures takes: guider, sampler and noise levels."""
    guider = Node("CFGGuider", {"cfg": family.cfg})
    sampler = Node("KSamplerSelect", {"sampler_name": family.sampler})
    sigmas = Node("BasicScheduler", {"scheduler": family.scheduler, "steps": family.steps})
    inputs = {"model": [(guider, "model"), (sigmas, "model")], **_shared([guider], ("positive", "negative", "cfg")),
              **_shared([sampler], ("sampler_name",)), **_shared([sigmas], ("scheduler", "steps"))}
    outputs = {"guider": (guider[0], "GUIDER"), "sampler": (sampler[0], "SAMPLER"), "sigmas": (sigmas[0], "SIGMAS")}
    return Subgraph("How to draw", [guider, sampler, sigmas], outputs, inputs)


def pairs(family: Family) -> Subgraph:
    """The starter's pictures and their negatives: pairs of before and after."""
    before = Node("LoadImageTextDataSetFromFolder", {"folder": family.folder}, "Before")
    after = Node("ImageInvert", {"image": before[0]}, "After")
    outputs = {"images": (after[0], "IMAGE"), "captions": (before[1], "STRING"), "before": (before[0], "IMAGE")}
    return Subgraph("Pairs", [before, after], outputs, _shared([before], ("folder",)))


def _sampler(family: Family, title: str, **other) -> Node:
    return Node("KSampler", settings(family) | other, title)


def _decoded(latents: Node) -> Node:
    return Node("VAEDecode", {"samples": latents[0]}, size=(220, 60))


def _shared(nodes: list[Node], names) -> dict[str, list[tuple[Node, str]]]:
    return {name: [(node, name) for node in nodes] for name in names}
