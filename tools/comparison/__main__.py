"""Write the pages that compare other programs with meshkit: ``python -m tools.comparison``."""

from tools.comparison.istioctl import COMPARISON as ISTIOCTL
from tools.comparison.kiali import COMPARISON as KIALI

PAGES = (ISTIOCTL, KIALI)

if __name__ == "__main__":
    for comparison in PAGES:
        comparison.path.write_text(comparison.page())
