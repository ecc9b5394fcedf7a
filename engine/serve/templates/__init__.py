"""The page's own template, style and script, beside those of the report."""
