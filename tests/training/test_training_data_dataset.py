"""Pictures and captions as the core data-set nodes give them."""
import pytest
import torch
from training_models import caption, latents


def sizes(*shapes):
    return [{"samples": torch.zeros(shape)} for shape in shapes]


def test_a_batch_with_one_caption_repeats_the_caption(pack):
    dataset = pack.nodes.training.data.dataset.from_core_nodes([{"samples": latents(3)}], [caption(0)])
    assert [tuple(s.latent.shape) for s in dataset.samples] == [(1, 16, 8, 8)] * 3
    assert all(s.caption is dataset.samples[0].caption for s in dataset.samples)


def test_lists_of_latents_and_captions_are_paired_in_order(pack):
    pictures = [{"samples": latents(1, size=8, seed=1)}, {"samples": latents(2, size=12, seed=2)}]
    captions = [caption(i) for i in range(3)]
    dataset = pack.nodes.training.data.dataset.from_core_nodes(pictures, captions)
    assert [s.latent.shape[-1] for s in dataset.samples] == [8, 12, 12]
    assert all(s.caption is c[0][0] for s, c in zip(dataset.samples, captions, strict=True))


def test_buckets_keep_each_picture_s_caption(pack):
    captions = [caption(i)[0] for i in range(3)]
    buckets = sizes((2, 16, 8, 8), (1, 16, 8, 12))
    dataset = pack.nodes.training.data.dataset.from_core_nodes(buckets, [captions[:2], captions[2:]])
    assert [s.caption is c[0] for s, c in zip(dataset.samples, captions, strict=True)] == [True] * 3


@pytest.mark.parametrize("pictures, captions, sentence", [
    ([], [caption(0)], "latents: expected at least 1 picture to train on, got none."),
    (sizes((0, 16, 8, 8)), [caption(0)], "latents: expected at least 1 picture to train on, got none."),
    (sizes((2, 16, 8, 8)), [], "positive: expected 1 caption or 2, one a picture; got none."),
    (sizes((3, 16, 8, 8)), [caption(0), caption(1)],
     "positive: expected 1 caption or 3, one a picture in latents; got 2 captions for 3 pictures."),
    (sizes((1, 16, 8, 8)), [[[torch.zeros(4, 8, 64), {}]]],
     "positive: expected one prompt a caption, caption 1 holds 4."),
    ([{"samples": torch.full((1, 16, 8, 8), float("nan"))}], [caption(0)],
     "latents: expected finite numbers, picture 1 holds others (a VAE that overflowed?)."),
])
def test_what_cannot_be_paired_is_refused_with_numbers(pack, pictures, captions, sentence):
    with pytest.raises(ValueError) as error:
        pack.nodes.training.data.dataset.from_core_nodes(pictures, captions)
    assert str(error.value) == sentence


def test_what_training_leaves_out_is_noted(pack):
    masked = [{"samples": latents(1), "noise_mask": torch.ones(1, 8, 8)}]
    dataset = pack.nodes.training.data.dataset.from_core_nodes(masked, [caption(0, area=(1, 1, 0, 0))])
    assert "masks" in dataset.notes[0]
    assert dataset.notes[1].endswith("area.")
