"""What a gradient can pass between latents and what pictures earn: decoders, and the critique as a reward."""
