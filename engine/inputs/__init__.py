"""What a simulation is shown: pictures, events beside them, and encoders that make spikes in the course of a run."""
