"""The commands about this machine: the sandbox and its faults, the demo, JupyterLab, the diagnosis."""
