from django.contrib.auth import views as auth_views
from django.urls import path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("accounts/login/", auth_views.LoginView.as_view(), name="login"),
    path("accounts/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("accounts/whoami/", views.who_am_i, name="who-am-i"),
    path("berths/<int:number>/", views.berth, name="berth"),
    path("identity/", views.identity, name="identity"),
    path("echo-headers/", views.echo, name="echo-headers"),
    path("download/<slug:name>/<int:pieces>/", views.download, name="download"),
    path("release/<slug:name>/", views.release, name="release"),
]
