"""What a gradient can pass between latents and what pictures earn: decoders, and the critique as a reward."""

COLOURS, TINY, FULL, FITTED = "latent colours", "TAESD", "VAE", "fitted to the VAE"
CHOICES = ("auto", COLOURS, TINY, FULL, FITTED)     # here, so that the menu needs none of the decoders
