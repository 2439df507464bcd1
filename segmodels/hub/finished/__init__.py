"""The cache of finished trainings on the Hub: weights under the fingerprint of recipe and data, looked up before a
training begins, and sent after it. Loads no Keras."""
