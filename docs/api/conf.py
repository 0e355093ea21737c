"""Sphinx: pages of the modules, from their docstrings (`make api`)."""

import importlib.metadata

project = "rtmri-speech"
release = importlib.metadata.version(project)
extensions = ["sphinx.ext.autodoc", "sphinx.ext.apidoc", "sphinx.ext.napoleon"]
apidoc_modules = [{"path": "../../src/rtmri_speech", "destination": "modules", "separate_modules": True}]
default_role = "py:obj"
# Types are annotations here, and docstrings describe parameters in words: a word that is also the name of several
# attributes is no reference.
suppress_warnings = ["ref.python"]
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
html_theme = "furo"
