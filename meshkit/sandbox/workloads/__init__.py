"""The programs behind the sandbox's own images: ``web`` (a service), ``load`` (an open-loop
generator) and ``job`` (ends by itself).

They run as processes of pods and know of the sandbox only by environment variables. Nothing here may import
the API server, the controllers or the node agent, and nothing of those may import more than a module's name
from here.
"""
