"""The two WSGI callables, built when a web server first asks for them: `wsgi:app` and `wsgi:mypage`."""

from flask import Flask


def __getattr__(name: str) -> Flask:
    if name == "app":
        from app.factory import create_app
        from app.serve import keep_to_one_processor, work_without_pause
        from app.settings import Settings

        keep_to_one_processor()
        server = create_app(Settings.from_env())
        work_without_pause()
        return server
    if name == "mypage":
        from app.mypage.factory import create_mypage
        from app.mypage.settings import MypageSettings

        return create_mypage(MypageSettings.from_env())
    raise AttributeError(name)
