"""The names of the speech models that need nobody's weights, for whoever may not import torch."""

OWN_MODELS = ("spectrogram_cnn", "crnn", "tdnn", "blend")
"""In the registry's order; a test holds the two together."""
