"""Speech to text with any model: long recordings are cut, short ones share batches, results are written."""
