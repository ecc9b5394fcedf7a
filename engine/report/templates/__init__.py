"""The templates of a page: HTML, its style and its script."""
