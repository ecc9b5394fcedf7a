"""A picture some of its rows at a time: how many, in which order, and what is kept of them."""
