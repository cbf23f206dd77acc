"""How good a model is: text normalisation, word and character error rates, and upstream's own scoring."""
