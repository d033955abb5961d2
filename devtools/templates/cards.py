"""The card of a template in the host's dialog: what its run gave, large; a whole graph would be too small to read."""
from PIL import Image, ImageDraw, ImageFont

SIZE, RIM = (384, 256), 10
PAPER, INK = "#f4efe6", "#22201c"
MOST = 3            # pictures on a card


def card(results: list[Image.Image]) -> Image.Image:
    """Up to three pictures side by side or below one another, whichever lets them be larger."""
    pictures = [picture.convert("RGB") for picture in results[:MOST]]
    room = [side - 2 * RIM for side in SIZE]
    beside, below = _row(pictures, room), _turned(_row([_turned(picture) for picture in pictures], room[::-1]))
    found = Image.new("RGB", SIZE, PAPER)
    best = max(beside, below, key=lambda laid: laid.width * laid.height)
    found.paste(best, ((SIZE[0] - best.width) // 2, (SIZE[1] - best.height) // 2))
    return found


def labelled(picture: Image.Image, title: str, note: str) -> Image.Image:
    """The card with a title in large letters and a note in small ones over its upper left corner."""
    found = picture.copy()
    draw, large, small = ImageDraw.Draw(found), ImageFont.load_default(26), ImageFont.load_default(13)
    right = max(draw.textlength(title, large), draw.textlength(note, small))
    draw.rectangle((0, 0, right + 24, 58), fill=PAPER)
    draw.text((12, 6), title, INK, large)
    draw.text((12, 38), note, INK, small)
    return found


def _row(pictures: list[Image.Image], room: list[int]) -> Image.Image:
    """Pictures of one height beside each other, as large as there is room for."""
    wide = room[0] - RIM * (len(pictures) - 1)
    tall = min(room[1], int(wide / sum(picture.width / picture.height for picture in pictures)))
    fitted = [picture.resize((max(1, picture.width * tall // picture.height), tall), Image.Resampling.LANCZOS)
              for picture in pictures]
    found = Image.new("RGB", (sum(p.width for p in fitted) + RIM * (len(fitted) - 1), tall), PAPER)
    left = 0
    for picture in fitted:
        found.paste(picture, (left, 0))
        left += picture.width + RIM
    return found


def _turned(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.TRANSPOSE)
