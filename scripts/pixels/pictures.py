"""The pictures that are compared, made out of the project's own photos: the same ones on every run of the same versions."""

import dataclasses
import hashlib
import io
import json
import os
import sys

import numpy
import PIL
import pyvips
from PIL import Image, ImageCms, ImageDraw, ImageFont

from runner import ROOT

PHOTOS = ("summit.jpeg", "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


@dataclasses.dataclass
class Picture:
    """A file that is compared."""

    name: str
    path: str
    note: str
    # Whether it has a colour profile other than sRGB's.
    profile: bool = False
    # EXIF orientation.
    orient: int = 1
    # Where the text is, in pixels of the upright picture: left, top, right, bottom.
    text: tuple | None = None


def photo(name):
    return Image.open(os.path.join(ROOT, "assets/photos", name)).convert("RGB")


def mosaic(width, height, scale):
    """The photos side by side in rows, enlarged."""
    photos = [photo(name) for name in PHOTOS]
    canvas = Image.new("RGB", (width, height))
    row_height = int(512 * scale)
    index = 0
    for top in range(0, height, row_height):
        left = 0
        while left < width:
            source = photos[index % len(photos)]
            index += 1
            row_width = int(source.width * row_height / source.height)
            canvas.paste(source.resize((row_width, row_height), Image.Resampling.LANCZOS), (left, top))
            left += row_width
        # Other photos below each other.
        index += 2
    return canvas


def grained(picture, strength, seed):
    """A camera's noise: what is merely enlarged compresses, and reduces, too well."""
    random = numpy.random.default_rng(seed)
    samples = numpy.asarray(picture).astype(numpy.float32)
    luma = random.normal(0, strength, samples.shape[:2])[..., None]
    colour = random.normal(0, strength / 2, samples.shape)
    return Image.fromarray(numpy.clip(samples + luma + colour + 0.5, 0, 255).astype(numpy.uint8))


def aerial(width, height, seed):
    """Fields seen from above: large, nearly flat areas, thin roads, little else."""
    random = numpy.random.default_rng(seed)
    count = 90
    seeds = random.uniform(0, 1, (count, 2)) * (width / 4, height / 4)
    x, y = numpy.meshgrid(numpy.arange(width // 4), numpy.arange(height // 4))
    distance = numpy.stack([(x - sx) ** 2 + (y - sy) ** 2 for sx, sy in seeds], axis=-1)
    field = numpy.argmin(distance, axis=-1)
    nearest = numpy.sqrt(numpy.sort(distance, axis=-1)[..., :2])
    colours = random.uniform((90, 100, 60), (170, 160, 110), (count, 3))
    samples = colours[field]
    # Furrows, a few percent of brightness, in a direction of each field's own.
    angle = random.uniform(0, numpy.pi, count)[field]
    furrows = numpy.sin((x * numpy.cos(angle) + y * numpy.sin(angle)) * 1.1)
    samples = samples * (1 + 0.03 * furrows[..., None])
    samples[nearest[..., 1] - nearest[..., 0] < 2] = (196, 190, 178)
    small = Image.fromarray(numpy.clip(samples, 0, 255).astype(numpy.uint8))
    return grained(small.resize((width, height), Image.Resampling.BICUBIC), 1.0, seed)


WORDS = (
    "The picture is reduced to the size that the model sees, turned upright and encoded anew. Small print, figures such as "
    "1,048,576 or 0.016 and names like Il1|O0 must stay legible: an invoice is read, not looked at. "
)
CODE = (
    ("#0000aa", "pub fn model_size(size: Size, tier: VisionTier) -> Size {"),
    ("#444444", "    let aspect = f64::from(long) / f64::from(short);"),
    ("#aa5500", "    // the short edge follows by rounding half to even"),
    ("#444444", "    let short = ((f64::from(long) / aspect).round() as u32).max(1);"),
    ("#007700", '    assert_eq!(short, 952, "4032x3024");'),
    ("#0000aa", "}"),
)
SCREEN = (2880, 1800)
SCREEN_TEXT = (80, 180, 1880, 1720)


def screenshot():
    """Two windows on a plain desktop: black and coloured text of several sizes, a table, and a photo."""
    picture = Image.new("RGB", SCREEN, "#e8ebef")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, SCREEN[0], 64), fill="#2b3440")
    draw.text((24, 14), "File   Edit   View   History   Window   Help", fill="#ffffff", font=ImageFont.load_default(30))
    draw.rectangle((60, 110, 1900, 1740), fill="#ffffff", outline="#9aa4b0", width=2)
    draw.rectangle((60, 110, 1900, 168), fill="#d5dae1")
    left, top, right, bottom = SCREEN_TEXT
    line = 0
    for size in (20, 22, 24, 28, 34, 44):
        font = ImageFont.load_default(size)
        for _ in range(4):
            words = WORDS[line * 7 % 90 :] + WORDS
            while draw.textlength(words, font=font) > right - left - 40:
                words = words[:-1]
            draw.text((left + 20, top), words, fill="#111111" if line % 3 else "#5a6470", font=font)
            top += int(size * 1.45)
            line += 1
    font = ImageFont.load_default(26)
    for colour, text in CODE:
        draw.text((left + 20, top), text, fill=colour, font=font)
        top += 38
    cell = ImageFont.load_default(22)
    for row in range((bottom - top) // 34):
        for column in range(8):
            draw.text((left + 20 + column * 220, top), f"{(row * 7919 + column * 104729) % 99991:,}", fill="#222222", font=cell)
        top += 34
    picture.paste(photo("coffee.png").resize((840, 560), Image.Resampling.LANCZOS), (1970, 200))
    draw.rectangle((1960, 820, 2820, 1740), fill="#1d2127")
    for row in range(26):
        text = f"{row:02d}:17:{row * 13 % 60:02d}  INFO  prepared 4032x3024 -> 1270x952"
        draw.text((1984, 840 + row * 34), text, fill="#7fd98b" if row % 4 else "#e5c07b", font=cell)
    return picture


def with_profile(picture, profile):
    """The same colours in another colour space, and its profile."""
    srgb = ImageCms.createProfile("sRGB")
    wide = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(picture, srgb, wide)


def files():
    """Name, note, other attributes, and a function that returns the bytes' arguments: picture, format, options."""
    # Each is made once, when the first file wants it.
    made = {}

    def once(key, make):
        if key not in made:
            made[key] = make()
        return made[key]

    def camera():
        return once("camera", lambda: grained(mosaic(4032, 3024, 1.6), 2.0, 7))

    def medium():
        return once("medium", lambda: grained(mosaic(2304, 1728, 1.2), 1.5, 8))

    jpeg = {"format": "JPEG", "quality": 90, "subsampling": "4:2:0"}
    orientation = Image.Exif()
    orientation[0x0112] = 6
    p3 = pyvips.Operation.call("profile_load", "p3")
    return [
        ("camera.jpg", "12 MP, 4:2:0", {}, lambda: (camera(), jpeg)),
        ("camera-progressive.jpg", "the same, progressive", {}, lambda: (camera(), {**jpeg, "progressive": True})),
        (
            "camera-p3.jpg",
            "the same in Display P3",
            {"profile": True},
            lambda: (with_profile(camera(), p3), {**jpeg, "icc_profile": p3}),
        ),
        (
            "camera-portrait.jpg",
            "the same, to be turned",
            {"orient": 6},
            lambda: (camera(), {**jpeg, "exif": orientation.tobytes()}),
        ),
        ("camera-422.jpg", "the same, 4:2:2", {}, lambda: (camera(), {**jpeg, "subsampling": "4:2:2"})),
        ("camera-444.jpg", "the same, 4:4:4", {}, lambda: (camera(), {**jpeg, "subsampling": "4:4:4"})),
        ("camera-gray.jpg", "the same, gray", {}, lambda: (camera().convert("L"), {"format": "JPEG", "quality": 90})),
        (
            "summit.jpg",
            "12 MP, one photo enlarged",
            {},
            lambda: (
                grained(photo("summit.jpeg").resize((4032, 3024), Image.Resampling.BICUBIC), 3.0, 9),
                {**jpeg, "quality": 92},
            ),
        ),
        ("aerial.jpg", "12 MP, nearly flat", {}, lambda: (aerial(4000, 3000, 10), jpeg)),
        ("photo.png", "4 MP", {}, lambda: (medium(), {"format": "PNG"})),
        ("screenshot.png", "5 MP of text", {"text": SCREEN_TEXT}, lambda: (screenshot(), {"format": "PNG"})),
        ("photo.webp", "4 MP, lossy", {}, lambda: (medium(), {"format": "WEBP", "quality": 85, "method": 4})),
        ("photo-lossless.webp", "4 MP", {}, lambda: (medium(), {"format": "WEBP", "lossless": True, "method": 0})),
    ]


def stamp():
    """What the pictures depend on."""
    digest = hashlib.sha256(f"{PIL.__version__} {numpy.__version__}".encode())
    for path in (os.path.abspath(__file__), *(os.path.join(ROOT, "assets/photos", name) for name in PHOTOS)):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def make(folder):
    """Makes what is not there yet, in `folder`."""
    os.makedirs(folder, exist_ok=True)
    stamp_path = os.path.join(folder, "stamp.json")
    try:
        with open(stamp_path) as file:
            done = json.load(file)
    except (OSError, ValueError):
        done = {}
    if done.get("stamp") != stamp():
        done = {"stamp": stamp(), "files": []}
    pictures = []
    for name, note, attributes, content in files():
        path = os.path.join(folder, name)
        if name not in done["files"] or not os.path.exists(path):
            print(f"making {name}", file=sys.stderr)
            picture, options = content()
            picture.save(path, **options)
            done["files"].append(name)
            with open(stamp_path, "w") as file:
                json.dump(done, file)
        pictures.append(Picture(name, path, note, **attributes))
    return pictures
