"""What is remembered: words, and what happened to them."""

from datetime import datetime, timezone

from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
migrate = Migrate()


def now():
    return datetime.now(timezone.utc)


class Word(db.Model):
    __tablename__ = "word"

    id: Mapped[int] = mapped_column(primary_key=True)
    original: Mapped[str] = mapped_column(db.String(200))
    jumbled: Mapped[str] = mapped_column(db.String(200))
    created: Mapped[datetime] = mapped_column(db.DateTime(timezone=True), default=now)
    updated: Mapped[datetime] = mapped_column(db.DateTime(timezone=True), default=now, onupdate=now)


class History(db.Model):
    __tablename__ = "history"

    id: Mapped[int] = mapped_column(primary_key=True)
    word_id: Mapped[int] = mapped_column(db.ForeignKey("word.id"), index=True)
    action: Mapped[str] = mapped_column(db.String(20))
    at: Mapped[datetime] = mapped_column(db.DateTime(timezone=True), default=now)
