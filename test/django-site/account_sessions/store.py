from django.contrib.sessions.backends.db import SessionStore as DBStore


class AccountStore(DBStore):
    @classmethod
    def get_model_class(cls):
        from .models import AccountSession

        return AccountSession

    def create_model_instance(self, data):
        session = super().create_model_instance(data)
        try:
            account_id = int(data.get('_auth_user_id'))
        except (ValueError, TypeError):
            account_id = None
        session.account_id = account_id
        return session


SessionStore = AccountStore
