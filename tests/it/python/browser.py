"""Opens a report in Chromium and checks what a reader would: nothing is missing, misplaced, cut off or alive.

Arguments: the page, a JSON file with what it has to hold, and Chromium.
"""

import json
import pathlib
import sys

from playwright.sync_api import Page, sync_playwright

ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--headless",
    "--no-first-run",
    "--no-sandbox",
]
SIZES = {"phone": (360, 740), "laptop": (1280, 900)}
# How far a box may lie from where it belongs, in pixels of the page.
TOLERANCE = 2

# The boxes of a card and its picture, as they lie on the screen. A box's own rectangle, without its line's thickness.
MEASURE = """(card) => {
    const on_screen = (rect) => {
        const part = rect.getBBox();
        const matrix = rect.getScreenCTM();
        const from = new DOMPoint(part.x, part.y).matrixTransform(matrix);
        const to = new DOMPoint(part.x + part.width, part.y + part.height).matrixTransform(matrix);
        return { left: from.x, top: from.y, right: to.x, bottom: to.y };
    };
    const image = card.querySelector('img');
    const tags = [...card.querySelectorAll('.tag:not(.hidden) > rect')].map(on_screen);
    const boxes = [...card.querySelectorAll('.box')].map((rect) => ({
        kind: rect.parentElement.classList[1], ...on_screen(rect) }));
    const place = image && image.getBoundingClientRect();
    return { boxes, tags, image: place && {
        left: place.left, top: place.top, right: place.right, bottom: place.bottom,
        loaded: image.complete && image.naturalWidth > 0,
    } };
}"""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def check_boxes(page: Page, cards: list, where: str) -> None:
    shown = page.locator("article.card").all()
    check(len(shown) == len(cards), f"{where}: {len(shown)} cards instead of {len(cards)}")
    for element, card in zip(shown, cards):
        where_exactly = f"{where}: {card['name'][:60]}"
        check(element.locator("h3 bdi").text_content() == card["name"], f"{where_exactly}: another name")
        element.scroll_into_view_if_needed()
        found = element.evaluate(MEASURE)
        check(len(found["boxes"]) == len(card["boxes"]), f"{where_exactly}: {len(found['boxes'])} boxes")
        if not card["boxes"]:
            continue
        image = found["image"]
        check(image["loaded"], f"{where_exactly}: the picture did not load")
        width, height = image["right"] - image["left"], image["bottom"] - image["top"]
        check(width >= 150 and height >= 150, f"{where_exactly}: the picture is {width}x{height}")
        for tag in found["tags"]:
            check(inside(tag, image), f"{where_exactly}: the name at {tag} leaves its picture {image}")
        unmatched = list(found["boxes"])
        for box in card["boxes"]:
            wanted = {
                "left": image["left"] + box["left"] * width,
                "top": image["top"] + box["top"] * height,
                "right": image["left"] + (box["left"] + box["width"]) * width,
                "bottom": image["top"] + (box["top"] + box["height"]) * height,
            }
            same = [
                other
                for other in unmatched
                if other["kind"] == box["kind"] and all(abs(other[edge] - wanted[edge]) <= TOLERANCE for edge in wanted)
            ]
            check(bool(same), f"{where_exactly}: no {box['kind']} box at {wanted}, but {unmatched[:9]}")
            check(inside(same[0], image), f"{where_exactly}: {same[0]} leaves its picture {image}")
            unmatched.remove(same[0])


def inside(part: dict, image: dict) -> bool:
    return (
        part["left"] >= image["left"] - TOLERANCE
        and part["top"] >= image["top"] - TOLERANCE
        and part["right"] <= image["right"] + TOLERANCE
        and part["bottom"] <= image["bottom"] + TOLERANCE
    )


def check_layout(page: Page, where: str) -> None:
    wide = page.evaluate(
        """() => {
            for (const details of document.querySelectorAll('details')) details.open = true;
            const edge = document.documentElement.clientWidth;
            const over = [...document.querySelectorAll('body *')].filter((element) => {
                // What is placed in a picture is cut at the picture's edge.
                if (element.closest('svg, .skip')) return false;
                return element.getBoundingClientRect().right > edge + 1;
            });
            return { scroll: document.documentElement.scrollWidth, edge,
                over: over.slice(0, 5).map((element) => element.outerHTML.slice(0, 200)) };
        }"""
    )
    check(wide["scroll"] <= wide["edge"] and not wide["over"], f"{where}: wider than the window: {wide}")


def check_harmless(page: Page, where: str) -> None:
    check(page.title().startswith("Run </style>"), f"{where}: the title is {page.title()!r}")
    alive = page.evaluate(
        """() => ({
            scripts: document.scripts.length,
            styles: document.querySelectorAll('style').length,
            pictures: [...document.images].filter((image) => !image.src.startsWith('data:image/jpeg;base64,')).length,
            handlers: [...document.querySelectorAll('*')].filter((element) =>
                [...element.attributes].some((attribute) => attribute.name.startsWith('on'))).length,
            bold: document.querySelectorAll('b').length,
        })"""
    )
    check(
        alive == {"scripts": 1, "styles": 1, "pictures": 0, "handlers": 0, "bold": 0},
        f"{where}: text became elements: {alive}",
    )
    text = page.locator("#cards").text_content()
    check("<script>document.title='owned'</script>" in text, f"{where}: hostile text is not shown")
    check("{{ 7*7 }}" in text and "\u202e" not in text, f"{where}: hostile text is not shown as it came")


def check_tools(page: Page, expected: dict, where: str) -> None:
    cards = page.locator("article.card")
    shown = page.locator("article.card:visible")
    for state, count in expected["states"].items():
        page.select_option("#state", state)
        check(shown.count() == count, f"{where}: {shown.count()} cards are {state}")
        check(page.locator("#shown").text_content() == f"{count} of {cards.count()}", f"{where}: the count of {state}")
    page.select_option("#state", "")
    check(shown.count() == cards.count(), f"{where}: the filter hides something when it is off")
    page.fill("#search", "COFFEE traffic")
    check(shown.count() == 1, f"{where}: the search finds {shown.count()} cards")
    page.fill("#search", "nothing is called so")
    check(shown.count() == 0 and page.locator("#none").is_visible(), f"{where}: an empty search is not said")
    page.fill("#search", "")
    page.select_option("#order", "name")
    names = page.locator("h3 bdi").all_text_contents()
    check(names.index("s3://photos/astronaut.png") < names.index("s3://photos/summit.jpeg"), f"{where}: order: {names}")
    page.select_option("#order", "position")
    check_enlarging(page, where)


def check_enlarging(page: Page, where: str) -> None:
    page.get_by_role("button", name="Enlarge s3://photos/coffee.png").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    check("coffee" in dialog.text_content(), f"{where}: enlarging does not show the picture")
    large = dialog.locator("img").bounding_box()
    width = page.viewport_size["width"]
    check(large["width"] > min(600, width * 0.85), f"{where}: the enlarged picture is {large}")
    check(large["x"] >= 0 and large["x"] + large["width"] <= width, f"{where}: the enlarged picture is cut: {large}")
    page.keyboard.press("ArrowRight")
    check("rocket" in dialog.text_content(), f"{where}: the arrow does not go on")
    page.keyboard.press("Escape")
    check(not dialog.is_visible(), f"{where}: Escape does not close")


def main() -> None:
    report, expected, chromium = sys.argv[1:]
    address = pathlib.Path(report).resolve().as_uri()
    expected = json.loads(pathlib.Path(expected).read_text(encoding="utf-8"))
    with sync_playwright() as playwright:
        # Its profile is a new folder, removed at the end.
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                for script in (True, False):
                    where = f"{name}, {scheme}, {'with' if script else 'without'} JavaScript"
                    context = browser.new_context(
                        viewport={"width": width, "height": height},
                        color_scheme=scheme,
                        java_script_enabled=script,
                        reduced_motion="reduce",
                    )
                    page = context.new_page()
                    requests, complaints = [], []
                    page.on("request", lambda request: requests.append(request.url))
                    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
                    page.on("pageerror", lambda error: complaints.append(str(error)))
                    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
                    page.goto(address, wait_until="load")
                    check_boxes(page, expected["cards"], where)
                    check_harmless(page, where)
                    if script:
                        check_tools(page, expected, where)
                    else:
                        check(not page.locator("#tools").is_visible(), f"{where}: tools that do nothing are shown")
                    check_layout(page, where)
                    others = [url for url in requests if url != address and not url.startswith("data:")]
                    check(not others, f"{where}: requests of {others}")
                    check(not complaints, f"{where}: {complaints}")
                    print(f"ok: {where}")
                    context.close()
        browser.close()


if __name__ == "__main__":
    main()
