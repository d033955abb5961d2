"""The endings of the keys of a LoRA: what part of which format a tensor is.

The host reads the endings of FORMS and of BESIDE, and of several forms for one module it keeps the last.
"""
import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

# In the order in which the host's loader tries them: the last it finds is the patch.
FORMS = {
    "lora": r"\.lora_(up|down|mid)\.weight|\.lora_[AB](\.default)?(\.weight)?|_lora\.(up|down)\.weight"
            r"|\.lora\.(up|down)\.weight|\.lora_linear_layer\.(up|down)\.weight",
    "loha": r"\.hada_\w+", "lokr": r"\.lokr_\w+", "glora": r"\.[ab][12]\.weight", "oft": r"\.oft_blocks",
    "norm": r"\.w_norm", "diff": r"\.diff", "set": r"\.set_weight",
}
BESIDE = r"\.rescale|\.b_norm|\.diff_b|\.reshape_weight|\.alpha|\.dora_scale|\.lora_magnitude_vector|\.row_offset"
KNOWN = re.compile(f"({'|'.join(FORMS.values())}|{BESIDE})$")
_FORMS = {form: re.compile(f"({pattern})") for form, pattern in FORMS.items()}
# What other tools write and nobody here applies, by the start of the ending.
NOT_APPLIED = {
    "ia3_l": "IA3", "on_input": "IA3", "oft_R": "PEFT's OFT", "oft_r": "PEFT's OFT", "boft_": "PEFT's BOFT",
    "vera_": "VeRA", "lora_embedding_": "a LoRA of an embedding", "hra_": "HRA", "lora_E": "AdaLoRA",
    "lora_ranknum": "AdaLoRA", "randlora_": "RandLoRA", "lora_magnitude_vector": "a magnitude of DoRA without its LoRA",
}
HALF = "half an adapter, whose other half is missing"
LAST = re.compile(r"(.*?)((\.|_lora\.)(ia3_l|on_input|oft_[Rr]|boft_|vera_|lora_|hra_|randlora_)[^/]*)$")


def stems(key: str) -> list[str]:
    """What a key may name: the beginnings of it that end at a dot, shortest first, with and without `_lora`."""
    found = list(accumulate(key.split("."), "{}.{}".format))
    return found + [stem.removesuffix("_lora") for stem in found if stem.endswith("_lora")]


def is_known(ending: str) -> bool:
    return KNOWN.fullmatch(ending) is not None


def module_of(key: str) -> str:
    """The module that a key with a known ending speaks of; "" for any other."""
    match = KNOWN.search(key)
    return key[:match.start()] if match else ""


def is_adapters(key: str) -> bool:
    """Whether a key has the ending of an adapter, also of one that nobody here applies or with an adapter's name."""
    return bool(KNOWN.search(key) or LAST.fullmatch(key))


def overruled(name: str, keys: Sequence[str]) -> list[str]:
    """The keys of one module that are of another form than the one the host keeps."""
    forms = {key: form for key in keys for form, pattern in _FORMS.items() if pattern.fullmatch(key[len(name):])}
    kept = max(forms.values(), key=list(FORMS).index, default="")
    return [key for key, form in forms.items() if form != kept]


def reason(ending: str, twice: bool) -> str:
    """Why the host read no tensor with this ending, of a weight it knows. twice: it read another change of the same."""
    if format := next((title for start, title in NOT_APPLIED.items() if ending.lstrip(".").startswith(start)), ""):
        return f"{format}, which neither ComfyUI nor this pack applies"
    if not is_known(ending):
        return f'ComfyUI knows no ending "{ending[:40]}" of a LoRA'
    return "the file has the same change in another spelling" if twice else HALF


def unknown_endings(keys: Iterable[str]) -> dict[str, str]:
    """Why keys that no module with a known ending accounts for are not read, by key; judged without a model."""
    return {key: reason(match[2] if (match := LAST.fullmatch(key)) else f".{key.rpartition('.')[2]}", False)
            for key in keys}
