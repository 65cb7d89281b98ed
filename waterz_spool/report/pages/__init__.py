"""Self-contained HTML pages: one style, no network, escaped by default.

Templates lie beside this module. Every page forbids itself by policy to load anything from elsewhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def page(template: str, **values: Any) -> str:
    """A page from its template.

    Args:
        template: Name of a file beside this module, for example ``pick.html``.
        values: What it shows. Text is escaped; data for scripts goes through the ``tojson`` filter.

    Returns:
        A whole HTML document.
    """
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("waterz_spool.report", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
