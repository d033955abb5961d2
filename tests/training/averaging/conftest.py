"""Checkpoints of real trainings that the tests of averages share, and Average Checkpoints in the real executor."""
import json

import pytest


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """(the output folder of all these trainings, {name: what the training gave})"""
    return tmp_path_factory.mktemp("averages"), {}


@pytest.fixture(scope="module")
def output_of_a_run(host, trained_once):
    """The folder of LoRAs of these trainings, the only one while a file of tests runs."""
    import folder_paths
    before, (folder, _) = folder_paths.get_output_directory(), trained_once
    kept = {name: (list(paths), kinds) for name, (paths, kinds) in folder_paths.folder_names_and_paths.items()}
    folder_paths.set_output_directory(str(folder))
    (folder / "loras").mkdir(exist_ok=True)
    folder_paths.folder_names_and_paths["loras"] = ([str(folder / "loras")], kept["loras"][1])
    folder_paths.filename_list_cache.clear()
    yield folder / "loras"
    folder_paths.set_output_directory(before)
    folder_paths.folder_names_and_paths["loras"] = kept["loras"]
    folder_paths.filename_list_cache.clear()


@pytest.fixture(scope="module")
def trained(pack, output_of_a_run, trained_once):
    """trained(name, **recipe) trains on four pictures, with a LoRA file every few steps; of a name once for all."""
    from training_models import caption, latents, tiny_sd3
    t, done = pack.nodes.training, trained_once[1]

    def run(name, steps=12, every=4, shape=None, resume="", **recipe):
        if name not in done or resume:
            dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
            recipe = t.plan.recipe.Recipe(checkpoints=t.plan.recipe.CheckpointPlan(every, 1, True), **recipe)
            settings = t.plan.settings.Settings(steps, 2, 1e-2, 4, 3, recipe)
            done[name] = t.training_run.train(tiny_sd3(), dataset, settings, name, t.monitoring.progress.Progress(
                steps, "1"), shape, resume=resume)
        return done[name]
    return run


class LoraSink:
    """An output node for a LORA_MODEL."""
    INPUT_TYPES = classmethod(lambda cls: {"required": {"lora": ("LORA_MODEL",)}})
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "take", "test", True
    taken = []

    def take(self, lora):
        self.taken.append(lora)
        return ()


def node(**inputs):
    return {"class_type": "BottegaAverageCheckpoints",
            "inputs": {"how": "mean", "length": 0.1, "first": 0, "last": 0, "rank": 0, **inputs}}


@pytest.fixture(scope="module")
def averaged(host):
    """averaged(**inputs): the LoRA, the report and the rows of data."""
    def run(**inputs):
        more = {key: value for key, value in inputs.items() if isinstance(value, dict)}
        links = {key: [key, 0] for key in more}
        host.nodes.NODE_CLASS_MAPPINGS["AverageTake"] = LoraSink
        try:
            shown, _ = host.run({**more, "average": node(**{**inputs, **links}),
                                 "take": {"class_type": "AverageTake", "inputs": {"lora": ["average", 0]}},
                                 "data": {"class_type": "PreviewAny", "inputs": {"source": ["average", 2]}}})
        finally:
            del host.nodes.NODE_CLASS_MAPPINGS["AverageTake"]
        return LoraSink.taken.pop(), shown["average"]["text"][0], json.loads(shown["data"]["text"][0])
    return run
