"""Istio in the sandbox: proxy style, metrics, injector and the program of istiod's pods."""
