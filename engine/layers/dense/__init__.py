"""What synapses compute on whole channels-last batches, silent or not, and the gradients of it."""
