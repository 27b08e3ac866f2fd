import io

from rich.console import Console

from service.demo import _show


def test_an_image_without_a_url_is_shown_too() -> None:
    graph = {"objects": [{"id": "d", "name": "dog"}], "relationships": []}
    results = [
        {"rank": rank, "image_id": f"image-{rank}", "score": 0.5, "url": url, "graph": graph}
        for rank, url in enumerate((None, "file:///pictures/17.svg"))
    ]
    shown = io.StringIO()

    _show(
        {"results": results, "total": 2, "took_ms": {"total": 1.0}}, "http://h", "key", Console(file=shown, width=120)
    )

    assert "image-0" in shown.getvalue()
    assert "17.svg" in shown.getvalue()
