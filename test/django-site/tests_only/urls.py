from django.urls import path

from . import forms, people, views

urlpatterns = [
    path('session', views.session),
    path('form', forms.form),
    path('messages', forms.messages),
    path('rotate', forms.rotate),
    path('rows/<app>', views.rows),
    path('user', people.user),
    path('people', people.people),
]
