"""Pictures that the page offers to try, in the public domain; examples/pictures/ATTRIBUTION.md says whose they are."""
