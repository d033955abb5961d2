"""Captions: what is learnt is what is written, and what cannot be a caption is refused."""
import codecs

import pytest
import torch
from training_sets import collected, picture


def encoded(clip, text):
    embedding, _ = clip.encode_from_tokens_scheduled(clip.tokenize(text), show_pbar=False)[0]
    return embedding


WRITTEN = ["at noon (9:30)", "saber (fate)", r"saber \(fate\)", "((a))", "a) b (c", r"\\(", "(x:1e9)"]


@pytest.mark.parametrize("text", WRITTEN)
def test_captions_are_learnt_as_they_are_written(training, clip, text):
    """The tokenizer beneath the host's prompt syntax sees every character."""
    literal = training.data.captions.Encoder(clip)
    tokenizer = clip.tokenizer.clip_l
    wanted = tokenizer.tokenizer(text)["input_ids"]
    tokens = clip.tokenize(literal.prompt(text))["l"][0]
    assert [token for token, _ in tokens][:len(wanted)] == wanted and {weight for _, weight in tokens} == {1.0}
    assert torch.equal(literal(text)[0], encoded(clip, literal.prompt(text)))
    assert literal(text)[1]["bottega_text"] == text


def test_prompt_syntax_reads_weights_as_a_prompt_does(training, clip):
    weights = training.data.captions.Encoder(clip, "weights")
    for text in ("a (red:1.5) sheet", r"saber \(fate\)"):
        assert torch.equal(weights(text)[0], encoded(clip, text))
    literal = training.data.captions.Encoder(clip)
    assert not torch.equal(weights("a (red:1.5) sheet")[0], literal("a (red:1.5) sheet")[0])


@pytest.mark.parametrize("family", ["t5xxl", "qwen_template"])
def test_tokenizers_without_weights_see_the_same_words(training, family):
    """Newer encoders have weights switched off, and escapes are read all the same; one that reads none gets none."""
    import comfy.sd1_clip

    class Tokenizer(comfy.sd1_clip.SD1Tokenizer):
        def tokenize_with_weights(self, text, return_word_ids=False, **kwargs):
            if family == "qwen_template":
                return super().tokenize_with_weights(f"say: {text}", return_word_ids, disable_weights=True, **kwargs)
            return {"l": [self.clip_l.tokenizer(text)["input_ids"]]}         # no escapes at all

    class Clip:
        tokenize = Tokenizer().tokenize_with_weights

    text = r"saber (fate) \("
    literal = training.data.captions.Encoder(Clip())
    ids = comfy.sd1_clip.SD1Tokenizer().clip_l.tokenizer(f"say: {text}" if family == "qwen_template" else text)
    tokens = Clip.tokenize(literal.prompt(text))["l"][0]
    assert [t[0] if isinstance(t, tuple) else t for t in tokens][:len(ids["input_ids"])] == ids["input_ids"]


def test_the_report_counts_captions_that_a_prompt_would_read_otherwise(training, vae, clip, folder):
    (folder / "a.txt").write_text("at noon (9:30)")
    literal, _ = collected(training, vae, clip, folder)
    weights, _ = collected(training, vae, clip, folder, prompt_syntax="weights")
    assert "1 captions hold parentheses or backslashes before them: they are learnt as they are written" in " ".join(
        literal.dataset.notes)
    assert "1 captions hold parentheses or backslashes before them: they are read as a prompt's weights" in " ".join(
        weights.dataset.notes)
    assert not torch.equal(literal.dataset.samples[0].caption, weights.dataset.samples[0].caption)
    plain, _ = collected(training, vae, clip, folder, captions=["a red sheet"])
    assert "parentheses" not in " ".join(plain.dataset.notes)


def test_text_encoders_that_are_trained_read_the_same_tokens(training, clip):
    text = "saber (fate)"
    _, options = training.data.captions.Encoder(clip)(text)
    assert options[training.data.dataset.PROMPT] == r"saber \(fate\)" and options[training.data.dataset.TEXT] == text
    assert training.data.dataset.PROMPT not in training.data.captions.Encoder(clip)("saber")[1]


@pytest.mark.parametrize("data", [
    "été".encode(), codecs.BOM_UTF8 + "été".encode(), "été".encode("utf-16"),
    codecs.BOM_UTF16_BE + "été".encode("utf-16-be"), "\r\nété\r\n".encode()])
def test_captions_are_read_in_the_encodings_that_say_what_they_are(training, tmp_path, data):
    (tmp_path / "a.txt").write_bytes(data)
    assert training.data.captions.read_caption(tmp_path / "a.txt") == "été"


@pytest.mark.parametrize("data, sentence", [
    ("été".encode("latin-1"), "captions: expected UTF-8 text, a.txt is something else."),
    (b"a\0b", "captions: expected text, a.txt holds the character U+0000."),
    ("ab".encode("utf-16-le"), "captions: expected text, a.txt holds the character U+0000."),
    (b"\x1b[31mred", "captions: expected text, a.txt holds the character U+001B."),
    (b"\xed\xa0\x80", "captions: expected UTF-8 text, a.txt is something else."),
    (b"word " * 200_000, "captions: expected at most 20000 characters in a.txt, got 1000000 bytes."),
    (b"x" * 20_001, "captions: a.txt: expected at most 20000 characters, got 20001"),
])
def test_what_is_no_caption_is_one_sentence(training, tmp_path, data, sentence):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(ValueError) as error:
        training.data.captions.read_caption(tmp_path / "a.txt")
    assert str(error.value) == sentence


@pytest.mark.parametrize("options, words", [
    ({"captions": ["\ud800"]}, r"^captions: expected text, caption 1 holds the character U\+D800\.$"),
    ({"captions": ["a\0"]}, r"^captions: expected text, caption 1 holds the character U\+0000\.$"),
    ({"default": "a\x07"}, r"^captions: expected text, default_caption holds the character U\+0007\.$"),
    ({"captions": ["x" * 30_000]}, "^captions: caption 1: expected at most 20000 characters, got 30000$"),
    ({"captions": ["(" * 3000 + "a" + ")" * 3000], "prompt_syntax": "weights"},
     r"^captions: expected fewer parentheses within parentheses, got \({117}\.\.\.$"),
    ({"captions": ["(a:nan)"], "prompt_syntax": "weights"},
     r"^captions: expected weights that give finite numbers, got \(a:nan\)$"),
])
def test_texts_of_the_graph_are_refused_in_the_same_words(training, vae, clip, tmp_path, options, words):
    picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=words):
        collected(training, vae, clip, tmp_path, **options)
