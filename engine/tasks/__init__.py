"""What networks are for: denoising and segmentation of pictures of any size."""
