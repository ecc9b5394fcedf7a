"""What a simulation is shown: events beside pictures, and encoders that make spikes in the course of a run."""
