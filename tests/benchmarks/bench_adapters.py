"""A training step with each algorithm of LoRA Shape, beside plain LoRA.

The model and the data are those of bench_training: SD3 of depth 3, latents of 16 x 16, captions of 77 tokens.
"""
import timing
from bench_training import RANK, STARTER, TEXT, StepClock, data, model

ROUNDS = 5
BATCHES = (1, 4)
SHAPES = {
    "LoRA": {}, "LoRA, PiSSA": {"pissa": True}, "DoRA": {}, "LoHa": {}, "LoKr": {}, "OFT": {},
}


def main():
    options = timing.parser(__doc__, ROUNDS).parse_args()
    pack = timing.start_host("training")
    rows = [row for batch in BATCHES for row in compare(pack, batch, options.rounds)]
    timing.publish(
        "adapters", "A training step by algorithm",
        f"SD3 of depth 3, latents 16 x 16, captions 77 x {TEXT}, rank {RANK}, fp32: "
        f"milliseconds a step, median of {options.rounds} interleaved runs of {STARTER.steps} steps. Ratio: to "
        "LoRA, within a round. Parameters: what is trained.",
        timing.table(["algorithm", "batch", "ms a step", "ratio", "parameters"], rows),
        "Every run includes what its algorithm does at the start; the clock begins after the first step.")


def compare(pack, batch, rounds):
    with timing.output_folder():
        sizes = {}
        seconds = timing.interleave({name: lambda name=name: step(pack, name, batch, sizes) for name in SHAPES}, rounds)
    return [(name, str(batch), timing.milliseconds(values), f"{timing.ratio(values, seconds['LoRA']):.2f}",
             f"{sizes[name]:,}") for name, values in seconds.items()]


def step(pack, name, batch, sizes):
    training = pack.nodes.training
    latents, captions = data(STARTER)
    algorithm = name.partition(",")[0]
    settings = training.adapters.lora_shape.ALGORITHMS[algorithm].settings(**SHAPES[name])
    shape = training.adapters.LoraShape(algorithm, rank=RANK, settings=settings)
    asked = training.plan.settings.Settings(STARTER.steps, batch, 1e-4, RANK, 0)
    dataset = training.data.dataset.from_core_nodes([{"samples": latents}], captions)
    with StepClock() as clock:
        trained = training.training_run.train(model(STARTER), dataset, asked, "benchmark",
                                     training.monitoring.progress.Progress(STARTER.steps, "1"), shape)
    sizes[name] = trained.parameters
    return clock.seconds_a_step()


if __name__ == "__main__":
    main()
