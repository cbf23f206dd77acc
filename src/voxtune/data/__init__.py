"""From files in anybody's layout to batches: samples, examples, manifests, audio, plans."""
