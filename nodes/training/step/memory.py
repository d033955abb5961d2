"""What a run does when the device's memory is full: smaller forward passes, recomputed blocks, weights kept outside."""
import gc

import comfy.model_management


class Memory:
    """rows: most samples in one forward pass, None for all that fit together; checkpoint: recompute the blocks."""

    def __init__(self, patcher, batch_size: int, checkpoint: bool):
        self.patcher, self.batch_size, self.checkpoint = patcher, batch_size, checkpoint
        self.rows: int | None = None
        self.offloaded = False
        self.notes: list[str] = []

    def back_off(self, step: int) -> bool:
        """Makes the next attempt smaller, in the cheapest way that is left; False when none is."""
        gc.collect()
        comfy.model_management.soft_empty_cache()
        rows = self.rows or self.batch_size
        if rows > 1:
            self.rows = (rows + 1) // 2
            done = f"{self.rows} of the batch's {self.batch_size} pictures a forward pass"
        elif not self.checkpoint:
            self.checkpoint = True
            done = "each block is computed again in the backward"
        elif not self.offloaded and not comfy.model_management.is_device_cpu(self.patcher.load_device):
            self._offload()
            done = "half of the model's weights wait outside the device"
        else:
            return False
        self.notes.append(f"Memory was full at step {step}: {done} from there on.")
        return True

    def _offload(self):
        self.offloaded = True
        half = self.patcher.loaded_size() // 2
        self.patcher.partially_unload(self.patcher.offload_device, half)


def is_memory_full(error: BaseException) -> bool:
    """True for the device's out-of-memory errors, and the CPU's, which is a RuntimeError to torch."""
    return (comfy.model_management.is_oom(error) or isinstance(error, MemoryError)
            or isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
