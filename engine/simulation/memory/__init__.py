"""Memory of layers while they are run: what they carry on, where their events go, scratch memory of threads."""
