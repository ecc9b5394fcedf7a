"""What networks are for: denoising, segmentation and classification of pictures."""
