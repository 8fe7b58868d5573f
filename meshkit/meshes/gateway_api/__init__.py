"""What every mesh takes from the Gateway API: routes, and their meaning."""
