"""What the metadata of a LoRA file tells: facts a person asks for, trigger words, all of it as JSON."""
import json
from collections import Counter
from collections.abc import Mapping

from ...shared.text_syntax import NOT_SHOWN, shorten

TRIGGER = "modelspec.trigger_phrase"
FACTS = {"base model": ("ss_base_model_version", "ss_sd_model_name", "modelspec.architecture"),
         "title": ("modelspec.title", "ss_output_name"), "trained with": ("ss_network_module",),
         "steps": ("ss_steps",), "pictures": ("ss_num_train_images",), "learning rate": ("ss_learning_rate",),
         "trigger words": (TRIGGER, "modelspec.usage_hint"), "how to sample": ("bottega.sample_with",),
         "author": ("modelspec.author",), "description": ("modelspec.description", "ss_training_comment")}
WORDS = 20
MOST_TRIGGERS = 10
MOST_BELOW_THE_TOP = 2  # times rarer than the most frequent tag: a trigger word stands in nearly every caption


def metadata_facts(metadata: Mapping[str, str]) -> dict[str, str]:
    """What the metadata says that a person would ask: base model, title, steps, most frequent words."""
    found = {}
    for label, keys in FACTS.items():
        said = dict.fromkeys(str(metadata[key]) for key in keys if metadata.get(key) not in (None, "", "None"))
        if said:
            found[label] = shorten(", ".join(said), 300)
    if words := trained_words(metadata):
        shown = ", ".join(f"{word} ({count})" for word, count in words.most_common(WORDS))
        found["words in its captions"] = shown + (f" and {len(words) - WORDS} more" if len(words) > WORDS else "")
    return found


def trained_words(metadata: Mapping[str, str]) -> Counter:
    """The words of ss_tag_frequency over all folders; empty where it is missing or cannot be read."""
    try:
        folders = json.loads(metadata.get("ss_tag_frequency", "{}"))
        return sum((Counter({str(word).strip(): int(n) for word, n in words.items()}) for words in folders.values()),
                   Counter())
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Counter()


def trigger_words(metadata: Mapping[str, str]) -> str:
    """What to write into a prompt: the trigger phrase, or else the tags that most captions had; "" where neither is."""
    said = str(metadata.get(TRIGGER) or "").strip()
    if not said or said == "None":
        ranked = [(word, count) for word, count in trained_words(metadata).most_common(MOST_TRIGGERS) if word]
        said = ", ".join(word for word, count in ranked if 0 < ranked[0][1] <= MOST_BELOW_THE_TOP * count)
    return NOT_SHOWN.sub("", said)


def metadata_text(metadata: Mapping[str, str]) -> str:
    """The metadata as JSON, which Save LoRA takes back."""
    return json.dumps(dict(metadata), indent=2, ensure_ascii=False, sort_keys=True)
