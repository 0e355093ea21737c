"""One file from which speech is made without torch: graphs of the models, and all they need to be used."""
