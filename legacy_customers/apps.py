from django.apps import AppConfig


class LegacyCustomersConfig(AppConfig):
    name = "legacy_customers"
