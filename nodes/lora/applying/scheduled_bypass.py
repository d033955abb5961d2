"""A LoRA whose strength follows the steps beside the layers: at a switch a number changes, and no weight.

The host's hooks patch all weights anew at each keyframe. Here its hook for wrappers carries the branches: they stand
beside the layers while a call of the model runs whose prompts have the hook, at the strength of that step.
"""
from collections.abc import Callable
from contextlib import contextmanager

import comfy.hooks
import torch
from comfy.patcher_extension import WrappersMP, merge_nested_dicts

from ..patches.branch import Branch
from .bypass import divide, runnings
from .patching import Component
from .stack import entries

KEY = "bottega_scheduled_bypass"


class ScheduledBranches:
    """The branches of one LoRA on the models that are sampled, of which a machine with several cards has one a card."""

    def __init__(self, component: Callable[[torch.nn.Module], Component]):
        self._component, self._on = component, {}

    def on(self, model: torch.nn.Module) -> "OnModel":
        """The branches for a model (of ModelPatcher.model); made when it is first asked for."""
        if model not in self._on:
            self._on[model] = OnModel(model, divide(model, entries([self._component(model)])).branches)
        return self._on[model]

    def release(self) -> None:
        """Lets go of the models and of what is on their devices."""
        for each in self._on.values():
            each.stop()
        self._on = {}


class OnModel:
    """The branches of a LoRA on one model."""

    def __init__(self, model: torch.nn.Module, branches: dict[str, list[Branch]]):
        self._running, self._strength = runnings(model, branches), 1.0
        self._own = [(branch, branch.strength) for row in branches.values() for branch in row]

    @contextmanager
    def at(self, strength: float):
        """While it lasts the branches stand beside the layers, at their own strengths times this."""
        if strength != self._strength:
            for branch, own in self._own:
                branch.strength = own * strength
            self._strength = strength
        for running in self._running:
            running.start()
        try:
            yield
        finally:
            for running in reversed(self._running):
                running.pause()

    def stop(self) -> None:
        for running in self._running:
            running.stop()


class BypassHook(comfy.hooks.TransformerOptionsHook):
    """The host's hook of wrappers, with the branches of a LoRA around each call of the model it is meant for."""

    def __init__(self, branches: ScheduledBranches | None = None):
        super().__init__({}, hook_scope=comfy.hooks.EnumHookScope.HookedOnly)
        self.branches = branches

    def clone(self):
        copy = super().clone()
        copy.branches = self.branches
        return copy

    def add_hook_patches(self, model, model_options, target_dict, registered):
        if not self.should_register(model, model_options, target_dict, registered):
            return False
        around_all = {"wrappers": {WrappersMP.OUTER_SAMPLE: {KEY: [self.outer_sample]}}}
        merge_nested_dicts(model_options, {"transformer_options": around_all}, copy_dict1=False)
        return super().add_hook_patches(model, model_options, target_dict, registered)

    def on_apply_hooks(self, model, transformer_options) -> None:
        around_call = {"wrappers": {WrappersMP.APPLY_MODEL: {KEY: [self.apply_model]}}}
        merge_nested_dicts(transformer_options, around_call, copy_dict1=False)

    def apply_model(self, executor, *args, **kwargs):
        """Wrapper of one call, at the strength of the keyframe that the host has made current."""
        if not self.strength:
            return executor(*args, **kwargs)
        with self.branches.on(executor.class_obj).at(self.strength):
            return executor(*args, **kwargs)

    def outer_sample(self, executor, *args, **kwargs):
        """Wrapper of the whole sampling, after which nothing is kept."""
        try:
            return executor(*args, **kwargs)
        finally:
            self.branches.release()


def patched_all_the_same(component: Component, module) -> Component:
    """What of a component cannot be a branch and has to be patched at each switch."""
    divided = divide(module, entries([component]))
    targets = {entry.target for entry in divided.patched}
    return component._replace(changes=[change for change in component.changes if change.target in targets])
