"""Files that are written completely or not at all, archives without pickles, and model files."""
