"""The migrated sample shop is for these tests too."""

from tests.legacy_customers.conftest import shop, shop_template

__all__ = ["shop", "shop_template"]
