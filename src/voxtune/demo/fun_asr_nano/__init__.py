"""Fun-ASR-Nano learns to understand a harbour."""
