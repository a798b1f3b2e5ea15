"""What the vector functions and the Chroma server image share.

Importing the package imports nothing else: a function pays only for the modules that it uses.
"""

__version__ = "1.0.0"
