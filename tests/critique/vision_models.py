"""The host's own vision-language classes with tiny random weights, and tokenizers made on the spot."""
import dataclasses
import io
from types import SimpleNamespace

import comfy.sd
import torch

WORDS = "look at this picture and answer with one digit from 0 to 9 where weights hold each other nothing asks".split()

PIECES = 80


def clip_of(te, tokenizer, tokenizer_data=None, **model_options) -> comfy.sd.CLIP:
    target = SimpleNamespace(params={}, clip=te, tokenizer=tokenizer)
    options = {"dtype": torch.float32, **model_options}
    clip = comfy.sd.CLIP(target, parameters=1, tokenizer_data=tokenizer_data or {}, model_options=options)
    generator = torch.Generator().manual_seed(0)
    for name, buffer in clip.cond_stage_model.named_buffers():
        if name.endswith("layer_scalar"):  # Gemma 4's, which the host leaves empty for the file to fill
            buffer.fill_(1.0)
    for parameter in clip.cond_stage_model.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    return clip


def qwen3vl(monkeypatch):
    from comfy.text_encoders import llama, qwen3vl
    tiny = dataclasses.make_dataclass("Tiny", [
        ("hidden_size", int, 64), ("intermediate_size", int, 128), ("num_hidden_layers", int, 4),
        ("num_attention_heads", int, 4), ("num_key_value_heads", int, 2), ("lm_head", bool, False),
    ], bases=(llama.Qwen3VL_8BConfig,))
    monkeypatch.setitem(qwen3vl.QWEN3VL_CONFIGS, "qwen3vl_4b", tiny)
    vision = dict(hidden_size=64, intermediate_size=128, depth=4, deepstack_visual_indexes=[0, 1, 2])
    monkeypatch.setitem(qwen3vl.QWEN3VL_VISION, "qwen3vl_4b", vision)
    return clip_of(qwen3vl.te(model_type="qwen3vl_4b"), qwen3vl.tokenizer(model_type="qwen3vl_4b"))


def qwen35(monkeypatch):
    from comfy.text_encoders import qwen35
    vision = dict(hidden_size=64, num_heads=4, intermediate_size=128, depth=2)
    monkeypatch.setitem(qwen35.QWEN35_MODELS, "qwen35_08b", dict(
        hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        linear_num_key_heads=2, linear_num_value_heads=4, vision=vision))
    return clip_of(qwen35.te(model_type="qwen35_08b"), qwen35.tokenizer(model_type="qwen35_08b"))


def gemma3(monkeypatch, vision=True):
    from comfy.text_encoders import llama, lumina2
    small = {**llama.GEMMA3_VISION_CONFIG, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
             "num_hidden_layers": 2, "image_size": 448, "patch_size": 28}
    monkeypatch.setattr(llama.Gemma3_4B_Vision_Config, "vision_config", small)
    monkeypatch.setattr(llama.Gemma3_4B_Vision_Config, "mm_tokens_per_image", 16)
    name = "gemma3_4b_vision" if vision else "gemma3_4b"
    config = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=2,
                  num_key_value_heads=1)
    pieces = sentence_pieces()
    clip = clip_of(lumina2.te(model_type=name), lumina2.NTokenizer, {"spiece_model": pieces},
                   **{f"{name}_model_config": config})
    table = getattr(clip.cond_stage_model, name).transformer.model.embed_tokens.weight
    table[PIECES:] = table[5]  # so that it never writes a word that the little tokenizer does not have
    return clip


def gemma4(monkeypatch):
    from comfy.text_encoders import gemma4
    vision = {**gemma4.GEMMA4_VISION_CONFIG, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2,
              "num_hidden_layers": 2, "head_dim": 32}
    tiny = dataclasses.make_dataclass("Tiny", [
        ("hidden_size", int, 64), ("intermediate_size", int, 128), ("num_hidden_layers", int, 2),
        ("num_attention_heads", int, 2), ("num_key_value_heads", int, 1), ("hidden_size_per_layer_input", int, 0),
        ("num_kv_shared_layers", int, 0),
    ], bases=(gemma4.Gemma4Config,), namespace={"vision_config": vision, "audio_config": None})
    variant = gemma4._make_variant(tiny)
    data = torch.ByteTensor(list(word_level_json().encode("utf-8")))
    return clip_of(gemma4.gemma4_te(model_class=variant), variant.tokenizer, {"tokenizer_json": data})


def sentence_pieces() -> torch.Tensor:
    """A sentencepiece model of a few sentences, which splits digits as Gemma's does."""
    import sentencepiece
    model = io.BytesIO()
    sentences = [" ".join(WORDS[i:] + WORDS[:i]) + " 0 1 2 3 4 5 6 7 8 9" for i in range(len(WORDS))] * 4
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, vocab_size=PIECES, model_type="bpe", split_digits=True,
        add_dummy_prefix=False, hard_vocab_limit=False, character_coverage=1.0, minloglevel=2,
        user_defined_symbols=["\n"])
    return torch.ByteTensor(list(model.getvalue()))


def word_level_json() -> str:
    """A tokenizer.json in which Gemma 4's special tokens have their own numbers."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    special = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<|turn>": 105, "<turn|>": 106, "<|channel>": 100,
               "<channel|>": 101, "<|image>": 255999, "<|image|>": 258880, "<image|>": 258882}
    words = {word: 1000 + i for i, word in enumerate(dict.fromkeys([*WORDS, *map(str, range(10)), "\n", "."]))}
    tokenizer = Tokenizer(models.WordLevel({**special, **words}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated"),
        pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.add_special_tokens(list(special))
    return tokenizer.to_str()


FAMILIES = {"Qwen3-VL": qwen3vl, "Qwen3.5": qwen35, "Gemma 3": gemma3, "Gemma 4": gemma4}
