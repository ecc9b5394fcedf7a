"""Pictures: reading and writing files, noise, padding, preprocessing, label pictures, and how good a result is."""
