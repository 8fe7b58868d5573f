"""How a glance at a mesh looks: the graph of its calls, its findings, certificates and versions."""
