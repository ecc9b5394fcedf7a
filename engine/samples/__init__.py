"""Networks in which no pixel meets another: which ones they are, and all of their samples run side by side."""
