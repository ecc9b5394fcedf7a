"""A page to try networks on pictures, and the same for programs over HTTP (extra `serve`); see docs/serve.md."""
