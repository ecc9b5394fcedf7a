"""What is done for the bands of a layer, in compiled calls for many layers or one by one."""
