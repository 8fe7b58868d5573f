"""The programs of the sandbox's own images: ``web``, ``load`` and ``job``.

``web`` is a service, ``load`` an open-loop load generator, and ``job`` a program that ends. They run as
processes of pods and receive all information about the sandbox in environment variables. This package must
not import the API server, the controllers or the node agent, and those refer to its modules only by name.
"""
