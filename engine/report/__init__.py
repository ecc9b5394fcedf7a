"""A report of a run as one page of HTML that needs nothing else (extra `report`), and its numbers."""

from .content import Content, Frame
from .page import check_report, page, write_page

__all__ = ["Content", "Frame", "check_report", "page", "write_page"]
