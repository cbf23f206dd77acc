"""voxtune: fine-tune speech language models. What you train is what upstream runs."""

__version__ = "0.1.0"
