"""`/api/randomizes`: a word comes back with its letters in another order."""

import random

from flask.views import MethodView
from flask_smorest import Blueprint, abort
from marshmallow import Schema, fields, validate

from .models import History, Word, db

randomizes = Blueprint("randomizes", __name__, url_prefix="/api/randomizes", description="Jumbled words")


class WordSchema(Schema):
    word = fields.String(required=True, load_only=True, validate=validate.Length(min=1, max=200))
    id = fields.Integer(dump_only=True)
    original = fields.String(dump_only=True)
    jumbled = fields.String(dump_only=True)
    created = fields.DateTime(dump_only=True)
    updated = fields.DateTime(dump_only=True)


def jumble(word):
    return "".join(random.sample(word, len(word)))


@randomizes.route("")
class Words(MethodView):
    @randomizes.response(200, WordSchema(many=True))
    @randomizes.paginate(max_page_size=100)
    def get(self, pagination_parameters):
        """Words, the newest first"""
        page = db.paginate(
            db.select(Word).order_by(Word.id.desc()),
            page=pagination_parameters.page,
            per_page=pagination_parameters.page_size,
            error_out=False,
        )
        pagination_parameters.item_count = page.total
        return page.items

    @randomizes.arguments(WordSchema)
    @randomizes.response(201, WordSchema)
    def post(self, body):
        """Jumble a word"""
        word = Word(original=body["word"], jumbled=jumble(body["word"]))
        db.session.add(word)
        db.session.flush()
        db.session.add(History(word_id=word.id, action="created"))
        db.session.commit()
        return word


@randomizes.route("/<int:word_id>")
class OneWord(MethodView):
    @randomizes.response(200, WordSchema)
    def get(self, word_id):
        """One word"""
        return db.session.get(Word, word_id) or abort(404, message=f"There is no word {word_id}.")

    @randomizes.response(200, WordSchema)
    def put(self, word_id):
        """Jumble it again"""
        word = db.session.get(Word, word_id) or abort(404, message=f"There is no word {word_id}.")
        word.jumbled = jumble(word.original)
        db.session.add(History(word_id=word.id, action="jumbled"))
        db.session.commit()
        return word
