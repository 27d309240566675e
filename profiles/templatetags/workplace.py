"""Numbers as the workplace writes them."""

from django import template

register = template.Library()


@register.filter
def signed(value: int) -> str:
    """+1,250 or -3."""
    return f"{value:+,}"


@register.filter
def grouped(value: int) -> str:
    return f"{value:,}"


@register.filter
def money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"
