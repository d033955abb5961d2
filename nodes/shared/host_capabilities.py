"""What of the host's insides this pack leans on, and what no longer works where a newer host has changed it.

`CAPABILITIES` is the one table. Whoever uses a private or moving part of the host adds a row with the names that the
code uses, and calls `require` before the first use: a person then reads one sentence instead of a traceback.
`python dev.py doctor` prints the whole table, and the server's log names the rows that are lacking.

A name is written as `module:attribute.attribute`; with `(parameter, ...)` behind it the call must take those by name.
Of names separated by `|` one is enough.
"""
import importlib
import inspect
import logging
import re
from typing import NamedTuple

from .host_version import version_of_host

NAME = re.compile(r"(?P<module>[\w.]+):(?P<attributes>[\w.]+)(\((?P<parameters>[\w, ]+)\))?")


class Capability(NamedTuple):
    """key: for `require`; purpose: what the pack does with it; nodes: display names of those that stop working."""
    key: str
    purpose: str
    nodes: str
    names: tuple[str, ...]


CAPABILITIES = (
    Capability("frozen weights", "reads a layer's weight as its forward does",
               "Train LoRA, Train with the Critic, Critique Guidance with push",
               ("comfy.ops:cast_bias_weight(dtype, device, bias_dtype, offloadable)", "comfy.ops:uncast_bias_weight")),
    Capability("training mode", "switches the host's own training branches on",
               "Train LoRA, Train with the Critic, Critique Guidance with push",
               ("comfy.model_management:in_training", "comfy.model_patcher:ModelPatcher.pre_run",
                "comfy.ldm.modules.attention:attention_pytorch")),
    Capability("fused operations", "replaces fused operations by forms that have a gradient",
               "Train LoRA, Train with the Critic, Critique Guidance with push",
               ("comfy_kitchen.backends.eager:apply_rope", "comfy_kitchen.backends.eager:rms_rope")),
    Capability("conditions", "asks the model for its conditions, picture by picture",
               "Train LoRA, Train with the Critic",
               ("comfy.samplers:encode_model_conds", "comfy.samplers:cond_cat", "comfy.sampler_helpers:convert_cond",
                "comfy.sampler_helpers:prepare_model_patcher", "comfy.model_patcher:create_model_options_clone")),
    Capability("ranks", "starts the host without a page for each further device",
               "Train LoRA, Train with the Critic, Best of N, LoRA Grid, Block Effect, Tune Blocks",
               ("nodes:load_custom_node", "nodes:init_public_apis", "nodes:init_builtin_extra_nodes",
                "nodes:LOADED_MODULE_DIRS", "execution:PromptExecutor", "execution:validate_prompt",
                "execution:CacheType.CLASSIC", "folder_paths:folder_names_and_paths", "comfy.cli_args:args")),
    Capability("reading LoRAs", "reads a LoRA file with the host's own readers",
               "every node that loads, saves or trains a LoRA",
               ("comfy.lora:load_lora", "comfy.lora:model_lora_keys_unet", "comfy.lora:model_lora_keys_clip",
                "comfy.lora_convert:convert_lora", "comfy.weight_adapter:WeightAdapterBase",
                "comfy.weight_adapter:LoRAAdapter", "comfy.weight_adapter:LoKrAdapter",
                "comfy.weight_adapter:LoHaAdapter", "comfy.weight_adapter:GLoRAAdapter",
                "comfy.weight_adapter:OFTAdapter", "comfy.weight_adapter:BOFTAdapter")),
    Capability("patches", "computes a weight with its patches",
               "Apply LoRA Stack, Save LoRA, Inspect LoRA",
               ("comfy.lora:calculate_weight(patches, weight, key)", "comfy.lora:pad_tensor_to_shape",
                "comfy.model_patcher:get_key_weight")),
    Capability("schedules", "gives a LoRA's strength key frames", "Schedule LoRA",
               ("comfy.hooks:WeightHook", "comfy.hooks:HookKeyframeGroup", "comfy.hooks:EnumWeightTarget.Clip")),
    Capability("calls of the model", "stands around each call of the model, and beside its layers meanwhile",
               "Regional LoRA, Schedule LoRA with bypass",
               ("comfy.patcher_extension:WrappersMP.APPLY_MODEL", "comfy.patcher_extension:WrappersMP.CALC_COND_BATCH",
                "comfy.patcher_extension:WrappersMP.OUTER_SAMPLE", "comfy.patcher_extension:PatcherInjection",
                "comfy.patcher_extension:merge_nested_dicts", "comfy.hooks:TransformerOptionsHook.on_apply_hooks",
                "comfy.model_patcher:ModelPatcher.set_injections")),
    Capability("guidance", "changes the prediction of a sampler's step", "Critique Guidance",
               ("comfy.model_patcher:ModelPatcher.set_model_sampler_post_cfg_function",
                "comfy.model_patcher:ModelPatcher.add_wrapper_with_key",
                "comfy.model_patcher:ModelPatcher.remove_wrappers_with_key",
                "comfy.patcher_extension:WrappersMP.PREDICT_NOISE")),
    Capability("sampling", "samples as KSampler does",
               "Best of N, Block Effect, Tune Blocks, Train with the Critic, Prompt Critic",
               ("comfy.sample:sample(callback, disable_pbar, seed, noise_mask)", "comfy.sample:prepare_noise_inner",
                "comfy.sample:fix_empty_latent_channels", "comfy.samplers:calculate_sigmas",
                "comfy.samplers:cfg_function")),
    Capability("vision models", "asks a text encoder that sees for a text, or for its first word's logits",
               "Describe Image, Vision Critic, Prompt Critic",
               ("comfy.sd:CLIP.generate", "comfy.text_encoders.llama:BaseGenerate.generate(do_sample, max_length)",
                "comfy.text_encoders.llama:BaseGenerate.sample_token")),
    Capability("tiny decoders", "sees a latent through TAESD or the host's colours",
               "Critique Guidance, Train with the Critic, sample pictures of Train LoRA",
               ("comfy.taesd.taesd:TAESD(decoder_path, latent_channels)", "latent_preview:Latent2RGBPreviewer")),
)


def missing_names(capability: Capability) -> list[str]:
    """Those of its names that this host does not have, as they stand in the table."""
    return [name for name in capability.names if not any(map(_is_there, name.split("|")))]


def _is_there(name: str) -> bool:
    parts = NAME.fullmatch(name.strip())
    try:
        found = importlib.import_module(parts["module"])
        for attribute in parts["attributes"].split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError):
        return False
    return not parts["parameters"] or _takes(found, [each.strip() for each in parts["parameters"].split(",")])


def _takes(function, parameters: list[str]) -> bool:
    known = inspect.signature(function).parameters
    anything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values())
    return anything or set(parameters) <= known.keys()


def lacking() -> dict[Capability, list[str]]:
    """The capabilities that this host lacks, with the names that it does not have."""
    found = {capability: missing_names(capability) for capability in CAPABILITIES}
    return {capability: names for capability, names in found.items() if names}


def sentence(capability: Capability, names: list[str]) -> str:
    """What a person is told: the nodes, the host's version, and what has changed in it."""
    return (f"Bottega {capability.purpose}, and ComfyUI {version_of_host()} has changed what it uses for that "
            f"({', '.join(names)}); these do not work here: {capability.nodes}")


def require(key: str) -> None:
    """Raises RuntimeError with that sentence where the host lacks a capability; KeyError for an unknown key."""
    capability = {each.key: each for each in CAPABILITIES}[key]
    if names := missing_names(capability):
        raise RuntimeError(sentence(capability, names))


def log_lacking() -> None:
    """One warning in the host's log for each capability it lacks; nothing where it has all of them."""
    for capability, names in lacking().items():
        logging.warning(sentence(capability, names))


def report() -> str:
    """The whole table, a line a capability."""
    missing = lacking()
    lines = [f"{'LACKING' if each in missing else 'ok':<8} {each.key}: {each.nodes}"
             + (f" ({', '.join(missing[each])})" if each in missing else "") for each in CAPABILITIES]
    return "\n".join([f"ComfyUI {version_of_host()}: {len(CAPABILITIES) - len(missing)} of {len(CAPABILITIES)} "
                      "capabilities", *lines])
