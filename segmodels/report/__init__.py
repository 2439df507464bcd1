"""What is left of runs afterwards, as pages for people. Loads no Keras."""
