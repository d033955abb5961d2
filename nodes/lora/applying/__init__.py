"""LoRAs on a model: one, several as a stack, or one that follows the steps; and the report of what became of them."""
