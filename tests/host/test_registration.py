"""What the host registers from the pack, and what a person reads about it in the page."""
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from comfy_api.v0_0_2 import io
from real_host import host_alone

PACK = Path(__file__).resolve().parents[2]

# Workflows on other people's machines depend on these: names never change, and inputs and outputs are only appended.
CONTRACT = {
    "BottegaLoadLora": ("model clip lora_name strength_model strength_clip blocks vector_mode seed a b apply_as",
                        "MODEL CLIP STRING STRING STRING"),
    "BottegaApplyLora": ("model clip lora strength_model strength_clip blocks vector_mode seed a b apply_as",
                         "MODEL CLIP STRING"),
    "BottegaStackLora": ("stack lora_stack lora_name strength_model strength_clip blocks vector_mode seed a b",
                         "BOTTEGA_STACK LORA_STACK"),
    "BottegaApplyStack": ("model clip stack apply_as combine density keep_size", "MODEL CLIP STRING IMAGE"),
    "BottegaLorasFromText": ("model clip text stack vector_mode seed a b", "MODEL CLIP STRING BOTTEGA_STACK STRING"),
    "BottegaLoraRows": ("model clip stack lora_stack rows vector_mode seed a b apply_as combine density keep_size",
                        "MODEL CLIP BOTTEGA_STACK LORA_STACK STRING STRING"),
    "BottegaRegionalLora": ("model lora_name mask strength blocks words vector_mode seed a b", "MODEL STRING"),
    "BottegaScheduleLora": ("lora_name strength_model strength_clip blocks keyframes prev_hooks model clip "
                            "vector_mode seed a b apply_as", "HOOKS"),
    "BottegaInspectLora": ("lora_name lora model", "STRING IMAGE STRING"),
    "BottegaSaveLora": ("stack lora blocks name format rank metadata model clip vector_mode seed a b combine "
                        "density keep_size", "STRING IMAGE"),
    "BottegaTrainingSet": ("vae clip folder resolution buckets repeats images captions mask default_caption masks "
                           "caption_dropout tag_shuffles keep_first flip regularisation_folder regularisation_weight "
                           "unreadable cache seed before prompt_syntax audit leave_out table where cache_limit "
                           "frames fps clips vision start_picture",
                           "BOTTEGA_DATASET STRING IMAGE IMAGE"),
    "BottegaCoreTrainingSet": ("latents positive", "BOTTEGA_DATASET"),
    "BottegaConcept": ("dataset strength keep_weight more less keep", "BOTTEGA_DATASET"),
    "BottegaAdapter": ("algorithm rank alpha targets scaling start lora_plus_ratio rank_dropout module_dropout "
                       "lokr_factor oft_constraint format", "BOTTEGA_ADAPTER"),
    "BottegaRecipe": ("optimizer accumulation ema_decay schedule warmup_steps final_rate timesteps shift shift_value "
                      "min_timestep max_timestep weighting loss noise_offset prior_outside_mask regularisation_weight "
                      "validation_pictures validation_every checkpoint_every checkpoints_kept checkpoint_loras "
                      "sample_every sample_steps sample_cfg clip_norm weight_decay beta1 beta2 schedule_cycles "
                      "snr_gamma huber_delta huber_schedule timestep_strata guidance expert metadata "
                      "ema_length prediction base_lora distilled exact second_ema_length",
                      "BOTTEGA_RECIPE"),
    "BottegaTrainLora": ("model dataset steps batch_size learning_rate rank seed name adapter recipe sample_prompts "
                         "resume vae clip critic critic_weighting devices share_base",
                         "LORA_MODEL LOSS_MAP STRING STRING"),
    "BottegaTrainingChart": ("loss_map", "IMAGE"),
    "BottegaAverageCheckpoints": ("loras how length first last rank kept_length model clip dataset validation_pictures "
                                  "recipe", "LORA_MODEL STRING STRING IMAGE"),
    "BottegaCritique": ("images rubric reference mask depth counterfactuals in_metadata heat drawn",
                        "FLOAT FLOAT STRING STRING IMAGE IMAGE IMAGE"),
    "BottegaRankImages": ("images rubric keep reference folder table where", "IMAGE IMAGE FLOAT STRING"),
    "BottegaLearnedScore": ("clip_vision head images reference rubric lowest highest activation",
                            "FLOAT FLOAT BOTTEGA_REFERENCE STRING STRING"),
    "BottegaCompareVersions": ("images reference rubric", "STRING IMAGE IMAGE IMAGE STRING"),
    "BottegaDescribeImage": ("clip images instruction max_length temperature seed", "STRING"),
    "BottegaCaptionFolder": ("clip folder instruction trigger_words existing max_length temperature seed",
                             "STRING STRING IMAGE"),
    "BottegaVisionCritic": ("clip images critic data", "FLOAT STRING STRING"),
    "BottegaCritiqueReference": ("images folder name unreadable table where", "BOTTEGA_REFERENCE STRING STRING"),
    "BottegaCritiqueGallery": ("folder name rubric reference measures workers ray again", "STRING STRING"),
    "BottegaChart": ("data spec width height theme", "IMAGE"),
    "BottegaBestOf": ("count keep seed rubric images guider sampler sigmas latent_image vae reference "
                      "devices", "IMAGE LATENT FLOAT STRING IMAGE"),
    "BottegaSteer": ("model rubric strength start end norm_limit decoder vae reference push push_end "
                     "pixel_limit", "MODEL STRING"),
    "BottegaBlockEffect": ("model lora lora_name strength_model groups mode seeds positive negative latent_image vae "
                           "seed sampling_steps cfg sampler_name scheduler value permutations rubric reference devices",
                           "STRING IMAGE IMAGE IMAGE STRING"),
    "BottegaTuneBlocks": ("model lora lora_name strength_model groups budget seeds held_out positive negative "
                          "latent_image vae seed sampling_steps cfg sampler_name scheduler rubric closeness reference "
                          "target critic method patience devices", "STRING STRING IMAGE IMAGE STRING"),
    "BottegaCriticTrain": ("model positive negative latent_image steps batch_size learning_rate rank method last_steps "
                           "penalty rubric seed name sampling_steps cfg scheduler seeds held_out lora lora_name vae "
                           "reference resume decoder devices share_base", "LORA_MODEL LOSS_MAP STRING STRING IMAGE"),
    "BottegaTrainingCritic": ("rubric reference", "BOTTEGA_TRAINING_CRITIC"),
    "BottegaLoraGrid": ("model loras strengths blocks seeds positive negative latent_image vae seed sampling_steps cfg "
                        "sampler_name scheduler lora rubric reference style best_by devices",
                        "STRING FLOAT STRING IMAGE IMAGE IMAGE STRING STRING"),
    "BottegaRewrite": ("model clip vision prompt negative_prompt latent_image vae seed sampling_steps cfg sampler_name "
                       "scheduler seeds rounds rubric reference negative ranges margin max_length temperature",
                       "STRING IMAGE FLOAT STRING STRING IMAGE"),
}
NODES = pytest.mark.parametrize("node_id", CONTRACT)


@pytest.fixture
def schema(host, node_id):
    return host.nodes.NODE_CLASS_MAPPINGS[node_id].GET_SCHEMA()


def test_the_host_registers_exactly_the_expected_nodes(host, pack):
    nodes = host.nodes.NODE_CLASS_MAPPINGS.items()
    assert {name for name, node in nodes if node.__module__.startswith(f"{pack.__name__}.")} == set(CONTRACT)


@NODES
def test_names_and_order_of_inputs_and_outputs_are_kept(node_id, schema):
    inputs, outputs = (text.split() for text in CONTRACT[node_id])
    assert [i.id for i in schema.inputs][:len(inputs)] == inputs
    assert [o.io_type for o in schema.outputs][:len(outputs)] == outputs


@NODES
def test_every_node_explains_itself(node_id, schema):
    assert schema.description and schema.display_name and schema.search_aliases
    assert schema.category.startswith("bottega/")


def test_the_check_before_a_run_accepts_the_texts_that_the_page_begins_with(host):
    checked = 0
    for node in (host.nodes.NODE_CLASS_MAPPINGS[node_id] for node_id in CONTRACT):
        schema, asked = node.GET_SCHEMA(), inspect.signature(node.validate_inputs).parameters
        texts = {slot.id: slot.default or "" for slot in schema.inputs if slot.io_type == "STRING" and slot.id in asked}
        if texts:       # a node that takes lists is given lists here too
            as_given = {name: [text] for name, text in texts.items()} if schema.is_input_list else texts
            assert node.validate_inputs(**as_given) is True, schema.node_id
            checked += 1
    assert checked > 10


def test_what_a_link_will_give_is_no_error_before_a_run(host, monkeypatch):
    """Of one in fingerprint_inputs the host says little, and runs the node anew each time."""
    checked = 0
    for node in (host.nodes.NODE_CLASS_MAPPINGS[node_id] for node_id in CONTRACT):
        schema = node.GET_SCHEMA()
        monkeypatch.setattr(node, "hidden", SimpleNamespace(unique_id="linked"))
        for method in (getattr(node, name) for name in ("validate_inputs", "fingerprint_inputs") if name in vars(node)):
            given = inspect.signature(method).parameters.values()
            names = [each.name for each in given if each.kind is not each.VAR_KEYWORD]
            for linked in (*([name] for name in names), names):
                answer = method(**dict.fromkeys(linked, (None,) if schema.is_input_list else None))
                assert method.__name__ == "fingerprint_inputs" or answer is True, (schema.node_id, linked)
                checked += 1
            assert "linked_files" not in inspect.getsource(method) or io.Hidden.unique_id in schema.hidden
    assert checked > 50


@NODES
def test_every_input_and_output_has_a_tooltip_and_every_output_a_name(node_id, schema):
    silent = [slot.id or slot.display_name for slot in [*schema.inputs, *schema.outputs] if not slot.tooltip]
    assert not silent
    assert all(output.display_name for output in schema.outputs)


def test_there_is_no_help_page_without_a_node():
    assert {page.stem for page in (PACK / "web" / "docs").glob("*.md")} == set(CONTRACT)


IMPORT = "before = set(sys.modules); spec.loader.exec_module(pack); print(*sorted(set(sys.modules) - before))"
HEAVY = re.compile(r"bottega\.(kernels|nodes\.(charts\.(?!nodes)|critique\.(measures|score|picture|explain)"
                   r"|training\.(training_run|step|adapters|model|data|disk)|studio\.(?!nodes|gradient$)))")


def test_importing_the_pack_waits_for_no_library_and_for_nothing_that_only_a_run_needs():
    """Its seconds are measured by `dev.py bench import`."""
    done = subprocess.run([sys.executable, "-c", host_alone(IMPORT)], capture_output=True, text=True, check=True)
    imported = done.stdout.splitlines()[-1].split()
    own = [name for name in imported if name.startswith("bottega")]
    assert "bottega.nodes.studio.nodes.critique_guidance" in own
    assert set(imported) - set(own) <= {"comfyui_version"}
    assert not [name for name in own if HEAVY.match(name)]


@pytest.mark.parametrize("words, node", {
    "palette": "BottegaCritique", "composition": "BottegaCritique", "my style": "BottegaCritiqueReference",
    "train lora": "BottegaTrainLora", "image pairs": "BottegaConcept", "slider": "BottegaConcept",
    "caption images": "BottegaDescribeImage", "caption folder": "BottegaCaptionFolder",
    "block weight": "BottegaLoadLora", "multi lora": "BottegaStackLora",
    "lora tag": "BottegaLorasFromText", "power lora loader": "BottegaLoraRows", "toggle loras": "BottegaLoraRows",
    "kohya": "BottegaSaveLora", "best picture": "BottegaRankImages", "better prompt": "BottegaRewrite",
}.items())
def test_a_node_is_found_by_the_words_that_people_use(host, words, node):
    assert words in host.nodes.NODE_CLASS_MAPPINGS[node].GET_SCHEMA().search_aliases
