"""`/api/histories`: what happened to which word, and when."""

from flask.views import MethodView
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from .models import History, db

histories = Blueprint("histories", __name__, url_prefix="/api/histories", description="What happened")


class HistorySchema(Schema):
    id = fields.Integer()
    word_id = fields.Integer()
    action = fields.String()
    at = fields.DateTime()


@histories.route("")
class Histories(MethodView):
    @histories.response(200, HistorySchema(many=True))
    @histories.paginate(max_page_size=100)
    def get(self, pagination_parameters):
        """Events, the newest first"""
        page = db.paginate(
            db.select(History).order_by(History.id.desc()),
            page=pagination_parameters.page,
            per_page=pagination_parameters.page_size,
            error_out=False,
        )
        pagination_parameters.item_count = page.total
        return page.items
