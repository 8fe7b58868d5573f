"""The wizard of the guided path, its forms and its reports."""
