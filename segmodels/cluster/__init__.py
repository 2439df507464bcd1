"""Many machines: a Ray cluster, and what is asked of its nodes. Loads no Keras, and Ray only when it is used."""
